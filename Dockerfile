# The operator's image: one static program and nothing else, no shell among it. `make image` builds the program and then this
# with buildah or podman, neither of which needs an engine. With docker, once the program is there:
#
#   docker build --file Dockerfile --tag appkeys target/image/amd64
FROM scratch
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="appkeys" \
      org.opencontainers.image.description="Kubernetes operator for application credentials" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY appkeys /appkeys
# A number, so that Kubernetes can see that it is not root; the same as in the chart.
USER 65532:65532
ENTRYPOINT ["/appkeys"]
