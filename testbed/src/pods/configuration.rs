//! What the servers of a cluster with Pods are told: addresses, tokens and their files. All of it is of this one cluster and ends
//! with it.

use std::{fs, path::Path};

use anyhow::Context as _;

use super::can::NETWORK_PLUGINS;

/// The node's name.
pub(super) const NODE: &str = "node1";
/// The node's address. Nobody outside can reach it, so every cluster has the same.
pub(super) const ADDRESS: &str = "10.99.0.1";
/// The API server's port there.
pub(super) const PORT: u16 = 6443;
pub(super) const PODS: &str = "10.244.0.0/24";
pub(super) const SERVICES: &str = "10.96.0.0/24";

/// Kernel settings of the whole machine that a kubelet insists on: it is shown files that say so, and the machine keeps its own.
pub(super) const SHOWN_SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Who may talk to the API server: the name of the kubeconfig, user and groups.
const USERS: [(&str, &str, &str); 4] = [
    ("kubelet", "system:node:node1", "system:nodes"),
    ("controller-manager", "system:kube-controller-manager", ""),
    ("scheduler", "system:kube-scheduler", ""),
    ("proxy", "system:kube-proxy", ""),
];

/// Writes it all into a folder, and gives the token that has all rights.
pub(super) fn write(folder: &Path) -> anyhow::Result<String> {
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    };
    for name in ["cni", "certs", "shown", "log", "manifests", "plugins"] {
        fs::create_dir(folder.join(name)).with_context(|| format!("make folder {name}"))?;
    }
    let token = || uuid::Uuid::new_v4().simple().to_string();
    let admin = token();
    let mut tokens = vec![format!("{admin},admin,admin,\"system:masters\"\n")];
    let (server, ca) = (format!("{ADDRESS}:{PORT}"), folder.join("certs/apiserver.crt"));
    for (name, user, groups) in USERS {
        let token = token();
        tokens.push(format!("{token},{user},{user},\"{groups}\"\n"));
        put(&format!("{name}.conf"), &kubeconfig(&server, &ca, &token))?;
    }
    put("tokens.csv", &tokens.concat())?;
    let key = rcgen::KeyPair::generate().context("make the service-account key")?;
    put("sa.key", &key.serialize_pem())?;
    put("sa.pub", &key.public_key_pem())?;
    let (certificate, key) = client_certificate().context("make the API server's certificate for the kubelet")?;
    put("kubelet-client.crt", &certificate)?;
    put("kubelet-client.key", &key)?;
    for (name, value) in SHOWN_SETTINGS {
        put(&format!("shown/{}", name.replace('/', "_")), value)?;
    }
    // Nobody answers names here.
    put("resolv.conf", "")?;
    put("kubelet.yaml", &kubelet(folder))?;
    put("containerd.toml", &containerd(folder))?;
    put("cni/10-pods.conflist", &network(folder))?;
    Ok(admin)
}

/// How the API server shows a kubelet who it is. The certificate is its own authority.
fn client_certificate() -> Result<(String, String), rcgen::Error> {
    let mut parameters = rcgen::CertificateParams::default();
    let names = &mut parameters.distinguished_name;
    *names = rcgen::DistinguishedName::new();
    names.push(rcgen::DnType::OrganizationName, "system:masters");
    names.push(rcgen::DnType::CommonName, "kube-apiserver");
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let key = rcgen::KeyPair::generate()?;
    Ok((parameters.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// A kubeconfig for whoever has this token, at the API server's address or at a port that leads there.
pub(super) fn kubeconfig(server: &str, ca: &Path, token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: pods\n\
         clusters: [{{name: pods, cluster: {{server: \"https://{server}\", tls-server-name: localhost, certificate-authority: \"{}\"}}}}]\n\
         users: [{{name: user, user: {{token: {token}}}}}]\n\
         contexts: [{{name: pods, context: {{cluster: pods, user: user}}}}]\n",
        ca.display()
    )
}

fn kubelet(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {ADDRESS}
readOnlyPort: 0
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {folder}/kubelet-client.crt}}}}
authorization: {{mode: Webhook}}
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix://{folder}/containerd.sock
podLogsDir: {folder}/log/pods
resolvConf: {folder}/resolv.conf
volumePluginDir: {folder}/plugins
staticPodPath: {folder}/manifests
# How often the kubelet looks after a Pod: a changed Secret is in its files this soon. A minute where nothing is said.
syncFrequency: 1s
# A machine whose disk is nearly full runs tests all the same.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {{memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}}
"
    )
}

/// `restrict_oom_score_adj`: root may be one that is not allowed to make processes more precious than itself.
fn containerd(folder: &Path) -> String {
    let (folder, pause) = (folder.display(), super::images::WORKLOAD);
    format!(
        "version = 2
root = \"{folder}/containerd\"
state = \"/run/containerd\"
disabled_plugins = [\"io.containerd.internal.v1.opt\"]
[grpc]
  address = \"{folder}/containerd.sock\"
[plugins.\"io.containerd.grpc.v1.cri\"]
  sandbox_image = \"{pause}\"
  restrict_oom_score_adj = true
  [plugins.\"io.containerd.grpc.v1.cri\".cni]
    bin_dir = \"{NETWORK_PLUGINS}\"
    conf_dir = \"{folder}/cni\"
"
    )
}

fn network(folder: &Path) -> String {
    serde_json::json!({
        "cniVersion": "0.4.0", "name": "pods",
        "plugins": [{
            "type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
            "ipam": {
                "type": "host-local", "dataDir": folder.join("cni-addresses"),
                "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
    .to_string()
}
