//! CPU and memory of a process, as Linux counts them.

use std::{fs, time::Duration};

use anyhow::Context as _;

/// One tick of the CPU times in `/proc`: user space sees a hundred a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) memory: u64,
}

impl Usage {
    /// Of the process `pid`.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read a process's status")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
        Ok(Self {
            cpu: cpu(&format!("/proc/{pid}/stat"))?,
            memory: kilobytes.context("a process without memory")? * 1024,
        })
    }
}

/// The CPU time of this thread.
pub(crate) fn this_thread() -> anyhow::Result<Duration> {
    cpu("/proc/thread-self/stat")
}

fn cpu(file: &str) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(file).with_context(|| format!("read {file}"))?;
    // The name, in parentheses, may have blanks in it; user and system time are fields 14 and 15.
    let (_, fields) = stat.rsplit_once(')').context("read CPU times")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    let ticks: u32 = ticks.sum::<Result<u32, _>>().context("read CPU times")?;
    Ok(TICK * ticks)
}
