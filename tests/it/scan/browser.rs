//! The page of `scan -o html` in a real browser: its script runs under its own policy, its filters filter, and nothing in
//! it that came from the cluster does anything.
//!
//! Left out where there is no Chromium; `tests/run` says so.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{desk, scan};

/// A browser on this machine, `PLATFORM_GATE_BROWSER` first.
fn browser() -> Option<PathBuf> {
    let named = std::env::var_os("PLATFORM_GATE_BROWSER").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut found = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .filter(|program| program.is_file());
    named.or_else(|| found.next())
}

/// What becomes of a page: its document once its script has run, or a picture of it.
fn open(browser: &Path, folder: &Path, page: &str, more: &[&str]) -> String {
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--hide-scrollbars",
        ])
        .arg(format!(
            "--user-data-dir={}",
            folder.join("profile").display()
        ))
        .args([
            "--virtual-time-budget=2000",
            "--enable-logging=stderr",
            "--log-level=0",
        ])
        .args(more)
        .arg(page)
        .env("HOME", folder)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let complaints: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("CONSOLE"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_filters_and_does_nothing_else() {
    let Some(browser) = browser() else {
        eprintln!("left out: the page in a browser, since there is no chromium");
        return;
    };
    let desk = desk().await;
    let what_if = [
        "--what-if",
        "add=linux/arm64",
        "--what-if",
        "windows=10.0.26100",
    ];
    let told = scan(&desk, &[&what_if[..], &["-o", "html"]].concat()).await;
    assert_eq!((told.code, &*told.err), (1, ""));
    desk.write("scan.html", &told.out);
    let page = format!("file://{}", desk.path("scan.html").display());
    let folder = desk.path("browser");
    let check = tokio::task::spawn_blocking(move || {
        let document = |fragment: &str| {
            open(
                &browser,
                &folder,
                &format!("{page}{fragment}"),
                &["--dump-dom"],
            )
        };
        let all = document("");
        assert!(all.contains(">all 7 workloads<"), "{all}");
        assert!(
            !all.contains("<img") && all.contains("&lt;img/src=x/onerror=alert(1)&gt;"),
            "{all}"
        );
        for (fragment, want) in [
            ("#text=nanoserver", ">1 of 7 workloads<"),
            ("#text=shop+nginx", ">1 of 7 workloads<"),
            ("#namespace=dev", ">3 of 7 workloads<"),
            ("#state=breaks", ">1 of 7 workloads<"),
            ("#state=breaks&state=no-node", ">2 of 7 workloads<"),
            ("#column=1&there=images-cannot-run", ">2 of 7 workloads<"),
            ("#text=x%3Cscript%3E", ">0 of 7 workloads<"),
        ] {
            let found = document(fragment);
            let shown = found.split("id=\"shown\"").nth(1).unwrap_or_default();
            assert!(
                shown.contains(want),
                "{fragment}: {}",
                &shown[..shown.len().min(120)]
            );
        }
        // For a person to look at.
        if let Some(keep) = std::env::var_os("PLATFORM_GATE_SCREENSHOTS").map(PathBuf::from) {
            for (name, more) in [
                ("light", "--blink-settings=preferredColorScheme=1"),
                ("dark", "--blink-settings=preferredColorScheme=0"),
            ] {
                let picture = format!(
                    "--screenshot={}",
                    keep.join(format!("scan-{name}.png")).display()
                );
                open(
                    &browser,
                    &folder,
                    &page,
                    &[&picture, "--window-size=1400,1100", more],
                );
            }
        }
    });
    check.await.unwrap();
}
