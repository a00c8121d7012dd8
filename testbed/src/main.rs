//! The test bed by hand: builds what it needs, or runs a control plane until it is told to stop.

use std::{ffi::OsString, process::ExitCode, time::Instant};

use anyhow::Context as _;
use testbed::{
    binaries, cargo_tools,
    control_plane::ControlPlane,
    foreign_client, helm, image,
    key_managers::{
        canaille,
        keycloak::{self, Keycloak},
        oidc_provider,
        okta::sdk as okta_sdk,
    },
    openapi, pods, reference, spring, workload,
};

const HELP: &str = "testbed: servers to try Appkeys with

  testbed kubernetes     build etcd, kube-apiserver, kube-controller-manager and kubectl, and print their folder
  testbed helm           build Helm, and print where it is
  testbed key-managers   install Keycloak, oidc-provider, Canaille, the clients of others and Spring, and print their folders
  testbed image          build the operator's image without a container engine, twice, and look whether it is what it should be
  testbed image-alone    run the image's program in an empty root (as root): start to ready, memory
  testbed deny           hold the licences and sources of what the project depends on to deny.toml; `testbed deny advisories`: ask the database of advisories
  testbed demo           manifests become Secrets that work, and a rotation that nobody notices; `testbed demo keycloak`: at a Keycloak; `okta`, `wso2`: at a double
  testbed up             run a control plane until Ctrl-C, and print how to use it
  testbed keycloak       run a Keycloak until Ctrl-C, and print how to use it
  testbed pods           run a cluster with real Pods until Ctrl-C, and print how to use it; says why where it cannot
  testbed pods-images    build the images of the end-to-end suite, and print their archives
  testbed cut            cut a vendor's OpenAPI file down to some paths: see testbed/contracts/README.md
  testbed reference      write docs/reference.md from the definitions in crds/";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    let result = match command.as_str() {
        "kubernetes" => binaries::kubernetes().map(|folder| println!("{}", folder.display())),
        "helm" => helm::installed().map(|binary| println!("{}", binary.display())),
        "image" => image::build(),
        "image-alone" => image_alone().await,
        "deny" => cargo_tools::deny(&std::env::args().skip(2).collect::<Vec<_>>()),
        "demo" => demo().await,
        "up" => up().await,
        "key-managers" => key_managers().await,
        "keycloak" => keycloak().await,
        "pods" => pods().await,
        "pods-images" => pods::images::build().map(|images| images.iter().for_each(print_image)),
        "pods-check" => {
            pods_check();
            Ok(())
        }
        // How a cluster with Pods runs itself, and what is in them.
        "pods-keep" => pods::keep(&arguments()),
        "pods-node" => pods::node(&arguments()).await,
        "pause" | "workload" | "protected-api" => in_a_pod(&command).await,
        "cut" => cut(),
        "reference" => reference::write(),
        _ => {
            println!("{HELP}");
            return if matches!(command.as_str(), "" | "--help" | "-h" | "help") {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            };
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("testbed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Vec<OsString> {
    std::env::args_os().skip(2).collect()
}

async fn in_a_pod(work: &str) -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    workload::run(work).await
}

fn print_image(image: &pods::Image) {
    println!("{} {}", image.name, image.archive.display());
}

/// Says whether Pods can run here; it is no failure that they cannot.
fn pods_check() {
    let missing = pods::missing();
    if missing.is_empty() {
        println!("Pods can run here.");
    }
    for why in missing {
        println!("Pods cannot run here: {why}");
    }
}

async fn pods() -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let images = tokio::task::spawn_blocking(pods::images::build).await??;
    let start = Instant::now();
    let cluster = pods::PodCluster::start(&std::env::current_exe()?, &images).await?;
    println!("It is up after {:.1} s. Its images:", start.elapsed().as_secs_f64());
    images.iter().for_each(print_image);
    println!("export KUBECONFIG={}", cluster.access().kubeconfig().display());
    println!("Its servers' files: {}", cluster.folder().display());
    println!("Ctrl-C stops it.");
    Ok(tokio::signal::ctrl_c().await?)
}

fn cut() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(2);
    let file = arguments
        .next()
        .context("name an OpenAPI file, and the paths to keep")?;
    let document = std::fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
    print!("{}", openapi::cut(&document, &arguments.collect::<Vec<_>>())?);
    Ok(())
}

async fn demo() -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let key_manager = std::env::args().nth(2).unwrap_or_else(|| "resident".to_owned());
    Box::pin(testbed::demo::run(&key_manager)).await
}

async fn image_alone() -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Box::pin(image::run_alone()).await
}

async fn up() -> anyhow::Result<()> {
    // A second choice of provider cannot be: this is the first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let plane = ControlPlane::start().await?;
    println!("export KUBECONFIG={}", plane.kubeconfig().display());
    println!("{}/kubectl get namespaces", plane.binaries().display());
    println!("Ctrl-C stops it.");
    Ok(tokio::signal::ctrl_c().await?)
}

async fn key_managers() -> anyhow::Result<()> {
    println!("{}", keycloak::installed().await?.distribution.display());
    for installed in [
        oidc_provider::installed,
        canaille::installed,
        okta_sdk::installed,
        foreign_client::installed,
        spring::installed,
    ] {
        println!("{}", tokio::task::spawn_blocking(installed).await??.display());
    }
    Ok(())
}

async fn keycloak() -> anyhow::Result<()> {
    let keycloak = Keycloak::start(keycloak::Options::default()).await?;
    let (url, ca) = (keycloak.https_url(), tempfile::NamedTempFile::new()?);
    std::fs::write(ca.path(), keycloak.ca())?;
    println!("{url} (also {})", keycloak.http_url());
    println!("realms: bed, rotating (policy of secret rotation), limited (no roles), viewing (view-clients)");
    println!("A token of the operator's client in the realm bed:");
    println!(
        "curl --cacert {} {url}/realms/bed/protocol/openid-connect/token -d grant_type=client_credentials -d client_id={} -d client_secret={}",
        ca.path().display(),
        keycloak::OPERATOR,
        keycloak::OPERATOR_SECRET
    );
    println!("Ctrl-C stops it.");
    Ok(tokio::signal::ctrl_c().await?)
}
