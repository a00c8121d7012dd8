//! Who wrote when: the API server's own record, with the Pod that asked.

use jiff::Timestamp;
use serde_json::Value;
use testbed::control_plane::ControlPlane;

use super::permissions::Record;

/// A request that changed something.
struct Write {
    pod: String,
    begun: Timestamp,
    done: Timestamp,
    what: String,
    lease: bool,
}

impl std::fmt::Display for Write {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} from {} to {}", self.what, self.pod, self.begun, self.done)
    }
}

fn write(event: &Value) -> Option<Write> {
    let verb = event["verb"].as_str()?;
    let code = event["responseStatus"]["code"].as_i64()?;
    let changes = ["create", "update", "patch", "delete"].contains(&verb) && (200..300).contains(&code);
    let time = |name: &str| event[name].as_str().unwrap().parse().unwrap();
    changes.then(|| Write {
        pod: event["user"]["extra"]["authentication.kubernetes.io/pod-name"][0]
            .as_str()
            .unwrap()
            .to_owned(),
        begun: time("requestReceivedTimestamp"),
        done: time("stageTimestamp"),
        what: format!("{verb} {}", event["requestURI"].as_str().unwrap()),
        lease: event["objectRef"]["resource"] == "leases",
    })
}

/// At no instant were there two writers: whoever wrote had taken the Lease before, and what it had begun was done before the next
/// one took it. How many took it.
pub(super) fn one_at_a_time(plane: &ControlPlane, account: &str) -> usize {
    let record = Record::of(plane);
    let (leases, writes): (Vec<_>, Vec<_>) = record
        .asked_by(account)
        .filter_map(write)
        .partition(|write| write.lease);
    // The first write of each holder, in the order of the API server.
    let mut taken: Vec<&Write> = vec![];
    for lease in &leases {
        if taken.last().is_none_or(|last| last.pod != lease.pod) {
            taken.push(lease);
        }
    }
    assert!(writes.len() > 20, "{} writes are no proof", writes.len());
    for write in &writes {
        let holder = taken.iter().rposition(|lease| lease.begun <= write.begun);
        let holder = holder.unwrap_or_else(|| panic!("{write} came before anybody led"));
        assert_eq!(
            taken[holder].pod, write.pod,
            "{write} although {} led",
            taken[holder].pod
        );
        if let Some(next) = taken.get(holder + 1) {
            assert!(write.done <= next.begun, "{write} was under way when {next} took over");
        }
    }
    taken.len()
}
