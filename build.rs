//! Writes the header and PHP's declarations into the build folder, never into the source tree: `tests/header.rs`
//! compares them with the committed ones. Also names the shared library, and keeps it loaded.

use std::path::{Path, PathBuf};

/// The order of the header: what a reader meets first comes first.
const NOUNS: [&str; 16] = [
    "status",
    "library",
    "string",
    "callback",
    "connector",
    "events",
    "system",
    "sign_in",
    "device_code",
    "token",
    "mail",
    "send",
    "check",
    "operation",
    "value",
    "error",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=src/ffi");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("myq_exchange_online.h"), header(true)?)?;
    std::fs::write(out.join("myq_exchange_online.php.h"), header(false)?)?;

    if std::env::var("CARGO_CFG_TARGET_OS")? == "linux" {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libmyq_exchange_online.so");
        // Unloading Rust code with thread-locals is unsound: a host's dlclose leaves the library where it is.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
    Ok(())
}

/// The header for C and C++, or the reduced one for PHP's FFI, which knows neither `extern "C"` nor includes.
fn header(full: bool) -> Result<String, Box<dyn std::error::Error>> {
    let config = cbindgen::Config {
        language: cbindgen::Language::C,
        style: cbindgen::Style::Type,
        cpp_compat: full,
        no_includes: true,
        documentation: full,
        documentation_style: cbindgen::DocumentationStyle::Doxy,
        usize_is_size_t: true,
        line_length: 120,
        tab_width: 4,
        include_guard: full.then(|| "MYQ_EXCHANGE_ONLINE_H".to_owned()),
        header: Some(if full { std::fs::read_to_string("src/ffi/tour.h")? } else { PHP_NOTE.to_owned() }),
        after_includes: full.then(|| "\n#include <stddef.h>\n#include <stdint.h>\n".to_owned()),
        ..cbindgen::Config::default()
    };
    let mut builder = cbindgen::Builder::new().with_config(config);
    for noun in NOUNS {
        builder = builder.with_src(Path::new("src/ffi").join(noun).with_extension("rs"));
    }
    let mut header = Vec::new();
    builder.generate()?.write(&mut header);
    // In decimal it is no 32-bit constant on Windows.
    Ok(without_safety(&String::from_utf8(header)?).replace("MXO_FOREVER 4294967295", "MXO_FOREVER 0xffffffffu"))
}

/// Leaves out the "# Safety" sections, which speak to Rust; what they ask is said of each parameter.
fn without_safety(header: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut inside = false;
    for line in header.lines() {
        if line.trim() == "* # Safety" {
            inside = true;
            // The empty line before it.
            lines.pop();
        } else if line.trim() == "*/" {
            inside = false;
        }
        if !inside {
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

const PHP_NOTE: &str =
    "/* Generated from src/ffi for PHP's FFI::cdef; see include/myq_exchange_online.h for what it means. */";
