//! What the browser of this process says of its tab.

use serde_json::Value;

use crate::browser::Browser;

/// When something holds and was drawn, milliseconds since 1970, by the clock of this machine.
pub(crate) async fn moment(browser: &Browser, what: &str) -> f64 {
    let script = format!(
        "const done = arguments[0]; \
         const look = () => (({what}) \
           ? requestAnimationFrame(() => done(performance.timeOrigin + performance.now())) \
           : requestAnimationFrame(look)); look();"
    );
    let at = browser.client.execute_async(&script, Vec::new()).await;
    at.as_ref()
        .ok()
        .and_then(Value::as_f64)
        .expect("it comes to hold")
}

/// Memory of the process that shows the page, KiB.
#[derive(Default)]
pub(crate) struct Memory {
    /// With all that it has in common with others, such as the browser's code.
    pub(crate) resident: f64,
    /// With its share of that (PSS).
    pub(crate) share: f64,
    /// Its own alone, swapped out or not: what Chromium's task manager calls the memory footprint of a tab.
    pub(crate) own: f64,
}

/// The memory of the largest tab of this process' browser.
pub(crate) fn memory_kib() -> Memory {
    let own = std::process::id();
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_tab = |pid: &u32| {
        let mut above = std::iter::successors(Some(*pid), |pid| parent(*pid));
        read(*pid, "cmdline").contains("--type=renderer") && above.any(|pid| pid == own)
    };
    let tabs = all.filter(is_tab).map(|pid| {
        let (rollup, status) = (read(pid, "smaps_rollup"), read(pid, "status"));
        Memory {
            resident: figure(&rollup, "Rss:"),
            share: figure(&rollup, "Pss:"),
            own: figure(&status, "RssAnon:") + figure(&status, "VmSwap:"),
        }
    });
    tabs.max_by(|one, other| one.resident.total_cmp(&other.resident))
        .unwrap_or_default()
}

/// A figure of a process in KiB.
pub(crate) fn of_process_kib(pid: u32, name: &str) -> f64 {
    figure(&read(pid, "status"), name)
}

fn parent(pid: u32) -> Option<u32> {
    let status = read(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

fn read(pid: u32, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

fn figure(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let figure = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    figure.unwrap_or_default()
}
