// Its custom resource definitions are files of this module; nothing is built from it.
module appkeys.dev/testbed/prometheus_operator

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.89.0
