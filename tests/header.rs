//! The header is a product: this test holds it against the source, the compilers, the library and its own promises.
//! `MXO_BLESS=1 cargo test --test header` writes what is generated instead of comparing it; then read the diff.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use myq_exchange_online::ffi::library::{MXO_ABI_MAJOR, MXO_ABI_MINOR, mxo_abi_version, mxo_version};

const HEADER: &str = "include/myq_exchange_online.h";
const PHP_HEADER: &str = "bindings/php/src/Native/myq_exchange_online.h";
const STATUSES: &str = "tests/abi/status.txt";
const SYMBOLS: &str = "tests/abi/symbols.txt";
const HOW_TO_BLESS: &str = "If that is meant: MXO_BLESS=1 cargo test --test header, and read the diff.";

fn bless() -> bool {
    std::env::var_os("MXO_BLESS").is_some_and(|value| value == "1")
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_default()
}

/// What build.rs made of the source in this very build: right also while the committed header is not.
fn generated(name: &str) -> String {
    fs::read_to_string(Path::new(env!("OUT_DIR")).join(name)).unwrap()
}

fn header() -> String {
    generated("myq_exchange_online.h")
}

/// Compares a committed file with what it must be, or writes it.
fn hold(name: &str, wanted: &str) {
    let found = read(name);
    if found == wanted {
        return;
    }
    if bless() {
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        return fs::write(path(name), wanted).unwrap();
    }
    let differ = found.lines().zip(wanted.lines()).position(|(found, wanted)| found != wanted);
    let line = differ.unwrap_or_else(|| found.lines().count().min(wanted.lines().count()));
    let at = |text: &str| text.lines().nth(line).unwrap_or("(the end of the file)").to_owned();
    panic!(
        "{name} is not what the source says. First in line {}:\n  it has    {}\n  wanted is {}\n{HOW_TO_BLESS}",
        line + 1,
        at(&found),
        at(wanted)
    );
}

/// A function of the header.
#[derive(Debug)]
struct Function {
    name: String,
    returns: String,
    /// Type and name of each.
    parameters: Vec<(String, String)>,
    comment: String,
}

/// The functions: each comment with the declaration behind it.
fn functions(header: &str) -> Vec<Function> {
    let blocks = header.split("/**").skip(1).filter_map(|block| block.split_once("*/"));
    blocks.filter_map(|(comment, after)| function(comment, after.trim_start())).collect()
}

fn function(comment: &str, after: &str) -> Option<Function> {
    let declaration = after.split_once(';')?.0;
    if declaration.starts_with('#') || declaration.starts_with("typedef") {
        return None;
    }
    let (head, parameters) = declaration.split_once('(')?;
    let (returns, name) = type_and_name(head);
    let parameters = parameters.trim_end_matches(')').split(',').filter(|text| *text != "void");
    Some(Function {
        name,
        returns,
        parameters: parameters.map(type_and_name).collect(),
        comment: comment.lines().map(|line| line.trim().trim_start_matches('*').trim()).collect::<Vec<_>>().join("\n"),
    })
}

fn type_and_name(declaration: &str) -> (String, String) {
    let declaration = declaration.split_whitespace().collect::<Vec<_>>().join(" ");
    let start = declaration.rfind([' ', '*']).map_or(0, |space| space + 1);
    let (kind, name) = declaration.split_at(start);
    (kind.trim().to_owned(), name.to_owned())
}

/// The header without comments.
fn without_comments(header: &str) -> String {
    let mut parts = header.split("/*");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.filter_map(|part| part.split_once("*/")).fold(first, |text, (_, code)| text + code)
}

fn find<'a>(functions: &'a [Function], name: &str) -> Option<&'a Function> {
    functions.iter().find(|function| function.name == name)
}

/// Words that begin with a prefix.
fn words<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with(prefix)).collect()
}

/// The constants of the header with their values.
fn constants(header: &str) -> Vec<(&str, &str)> {
    header.lines().filter_map(|line| line.strip_prefix("#define ")?.split_once(' ')).collect()
}

/// The statuses: of all constants those that tell how a call ended.
fn statuses(header: &str) -> Vec<(&str, &str)> {
    const GOOD: [&str; 5] = ["MXO_OK", "MXO_PENDING", "MXO_TIMEOUT", "MXO_END", "MXO_PARTIAL"];
    let is_status = |name: &str| name.starts_with("MXO_E_") || GOOD.contains(&name);
    constants(header).into_iter().filter(|(name, _)| is_status(name)).collect()
}

/// The shared library of this build. Cargo copies it up only when it is asked for by itself, so the newest counts.
fn library() -> PathBuf {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let found = [folder.join("libmyq_exchange_online.so"), folder.join("../libmyq_exchange_online.so")];
    let age = |path: &PathBuf| fs::metadata(path).and_then(|file| file.modified()).ok();
    let newest = found.into_iter().filter(|path| path.exists()).max_by_key(age);
    newest.unwrap_or_else(|| panic!("no libmyq_exchange_online.so in or above {}: cargo build", folder.display()))
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}:\n{errors}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_committed_header_is_what_the_source_says() {
    hold(HEADER, &header());
}

#[test]
fn the_declarations_for_php_are_what_the_source_says() {
    let declarations = generated("myq_exchange_online.php.h");
    hold(PHP_HEADER, &declarations);
    let names = |text: &str| words(&without_comments(text), "mxo_").into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(&declarations), names(&header()), "PHP sees other names than C");
    assert_eq!(constants(&declarations), constants(&header()).into_iter().collect::<Vec<_>>());
}

#[test]
fn it_compiles_alone_as_c_and_as_cpp() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::write(folder.join("myq_exchange_online.h"), header()).unwrap();
    // Twice, so that the guard is tried; one call, so that the linkage is.
    let code = "#include \"myq_exchange_online.h\"\n#include \"myq_exchange_online.h\"\n\
                int main(void) { return mxo_abi_version() >> 16 == MXO_ABI_MAJOR ? MXO_OK : 1; }\n";
    let library = library();
    for (compiler, standard, name) in
        [("cc", "-std=c99", "alone.c"), ("g++", "-std=c++11", "alone.cpp"), ("g++", "-std=c++20", "alone20.cpp")]
    {
        let (source, program) = (folder.join(name), folder.join(name).with_extension("bin"));
        fs::write(&source, code).unwrap();
        let paths = [source.to_str().unwrap(), program.to_str().unwrap(), library.to_str().unwrap()];
        let warnings = [standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror"];
        run(compiler, &[&warnings[..], &[paths[0], paths[2], "-o", paths[1]]].concat());
        let library_path = library.parent().unwrap();
        let status = Command::new(&program).env("LD_LIBRARY_PATH", library_path).status().unwrap();
        assert!(status.success(), "{name} ran and gave {status}");
    }
}

#[test]
fn a_status_is_for_ever() {
    let header = header();
    let now: BTreeMap<_, _> = statuses(&header).into_iter().collect();
    let listed = read(STATUSES);
    let lines: Vec<_> = listed.lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(lines.len(), listed.lines().count(), "a line of {STATUSES} is not NUMBER NAME");
    for (number, name) in &lines {
        let found = now.get(name).copied();
        assert_eq!(found, Some(*number), "{name} was {number} once, and is that for ever; the header says {found:?}");
    }
    let names: BTreeSet<_> = lines.iter().map(|(_, name)| *name).collect();
    let numbers: BTreeSet<_> = lines.iter().map(|(number, _)| *number).collect();
    assert_eq!((names.len(), numbers.len()), (lines.len(), lines.len()), "{STATUSES} names something twice");
    let new: Vec<_> = statuses(&header).into_iter().filter(|(name, _)| !names.contains(name)).collect();
    for (name, number) in &new {
        assert!(!numbers.contains(number), "{name} has the number {number} of another status");
    }
    if bless() {
        // At the end, whatever the number: the list only grows.
        let added: String = new.iter().map(|(name, number)| format!("{number} {name}\n")).collect();
        fs::write(path(STATUSES), listed.clone() + &added).unwrap();
    } else {
        assert!(new.is_empty(), "not in {STATUSES}: {new:?}\n{HOW_TO_BLESS}");
    }
}

#[test]
fn a_status_is_in_the_hundred_of_its_kind() {
    for (name, number) in statuses(&header()) {
        let number: i32 = number.parse().unwrap();
        let failure = name.starts_with("MXO_E_");
        assert_eq!(failure, number < 0, "{name} {number}: failures are negative, and nothing else is");
        assert!(!failure || [1, 2, 3, 4, 5, 9].contains(&(-number / 100)), "{name} {number}: no such hundred");
    }
}

#[test]
fn what_leaves_the_library_is_what_the_header_declares() {
    let header = header();
    let declared: BTreeSet<_> = functions(&header).into_iter().map(|function| function.name).collect();
    let library = library();
    // Weak and unique symbols are in this list too: anything that the linker could bind somebody else to.
    let symbols = run("nm", &["-D", "--defined-only", library.to_str().unwrap()]);
    let exported: BTreeSet<_> = symbols.lines().filter_map(|line| line.split_whitespace().last()).collect();
    let foreign: Vec<_> = exported.iter().filter(|name| !name.starts_with("mxo_")).collect();
    assert!(foreign.is_empty(), "{} exports what is not ours: {foreign:?}", library.display());
    let exported: BTreeSet<_> = exported.into_iter().map(str::to_owned).collect();
    let hidden: Vec<_> = declared.difference(&exported).collect();
    assert!(hidden.is_empty(), "the header declares and {} lacks {hidden:?}", library.display());
    let secret: Vec<_> = exported.difference(&declared).collect();
    assert!(secret.is_empty(), "{} exports and the header lacks {secret:?}: see NOUNS in build.rs", library.display());
    hold(SYMBOLS, &exported.iter().map(|name| format!("{name}\n")).collect::<String>());
}

#[test]
fn the_library_stays_in_memory_and_has_its_name() {
    let library = library();
    let dynamic = run("readelf", &["--wide", "--dynamic", library.to_str().unwrap()]);
    assert!(dynamic.contains("NODELETE"), "a dlclose would unload code that its threads run in: see build.rs");
    assert!(dynamic.contains("soname: [libmyq_exchange_online.so]"), "the library has another name, or none");
}

#[test]
fn every_function_is_explained() {
    let header = header();
    let code = without_comments(&header);
    let constants: BTreeSet<_> = constants(&header).into_iter().map(|(name, _)| name).collect();
    let statuses: BTreeSet<_> = statuses(&header).into_iter().map(|(name, _)| name).collect();
    let functions = functions(&header);
    let mut faults = Vec::new();

    // What stands before a parenthesis, by another way than the parser's: nothing may escape it.
    for name in words(&code, "mxo_").into_iter().filter(|name| code.contains(&format!("{name}("))) {
        if find(&functions, name).is_none() {
            faults.push(format!("{name} has no comment"));
        }
    }

    for Function { name, returns, parameters, comment } in &functions {
        let mut fault = |what: String| faults.push(format!("{name}: {what}"));
        let (text, returned) = comment.split_once("@return").unwrap_or((comment, ""));
        if text.split("@param").next().is_none_or(|about| about.trim().len() < 12) {
            fault("its comment does not say what it does".to_owned());
        }
        let names: Vec<_> = parameters.iter().map(|(_, name)| name.as_str()).collect();
        let explained: Vec<_> = text.split("@param ").skip(1).collect();
        let named: Vec<_> = explained.iter().filter_map(|about| about.split_whitespace().next()).collect();
        if named != names {
            fault(format!("its parameters are {names:?}, its comment explains {named:?}"));
        }
        if explained.iter().any(|about| about.split_whitespace().count() < 3) {
            fault("a @param says nothing".to_owned());
        }
        if returns != "mxo_status" {
            continue;
        }
        if parameters.last().is_none_or(|(kind, _)| kind != "mxo_error **") {
            // A getter of a status.
            if words(comment, "MXO_").is_disjoint(&statuses) {
                fault("its comment names no status".to_owned());
            }
            continue;
        }
        // "As mxo_access_token" stands for the list of the other.
        let other = words(returned, "mxo_").pop_first().and_then(|name| find(&functions, name));
        let other = other.and_then(|other| other.comment.split_once("@return")).map_or("", |(_, list)| list);
        let listed = words(returned, "MXO_").union(&words(other, "MXO_")).copied().collect::<BTreeSet<_>>();
        let takes = |noun: &str| parameters.iter().any(|(kind, _)| kind.trim_start_matches("const ") == noun);
        let nouns = ["connector", "events", "operation", "mail"].map(|noun| format!("mxo_{noun} *"));
        let wanted = [
            (true, "MXO_E_FORKED"),
            (nouns.iter().any(|noun| takes(noun)), "MXO_E_HANDLE"),
            (takes("mxo_connector *"), "MXO_E_CLOSED"),
            (parameters.iter().any(|(kind, _)| kind == "const char *"), "MXO_E_ARGUMENT"),
            (parameters.iter().any(|(kind, _)| kind.ends_with("**") && kind != "mxo_error **"), "MXO_E_LIMIT"),
        ];
        for (_, status) in wanted.iter().filter(|(must, status)| *must && !listed.contains(status)) {
            fault(format!("@return does not list {status}"));
        }
    }

    // A constant that a comment speaks of exists; "MXO_LOG_ constants" means all that begin so.
    for word in words(&header, "MXO_") {
        let known =
            constants.contains(word) || (word.ends_with('_') && constants.iter().any(|name| name.starts_with(word)));
        if !known {
            faults.push(format!("a comment speaks of {word}, which is not in the header"));
        }
    }
    // So does a function, also in the tour: whoever copies it must be able to compile it.
    for word in words(&header, "mxo_") {
        if !words(&code, "mxo_").contains(word) {
            faults.push(format!("a comment speaks of {word}, which is not in the header"));
        }
    }
    assert!(faults.is_empty(), "{} faults in the comments of src/ffi:\n  {}", faults.len(), faults.join("\n  "));
    assert!(functions.len() > 50, "the parser found only {} functions", functions.len());
}

#[test]
fn the_versions_agree() {
    let header = header();
    let number =
        |name: &str| constants(&header).iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string());
    assert_eq!(number("MXO_ABI_MAJOR"), Some(MXO_ABI_MAJOR.to_string()));
    assert_eq!(number("MXO_ABI_MINOR"), Some(MXO_ABI_MINOR.to_string()));
    assert_eq!(mxo_abi_version(), MXO_ABI_MAJOR << 16 | MXO_ABI_MINOR);
    #[expect(unsafe_code, reason = "the text lives as long as the process")]
    // SAFETY: as the header says.
    let version = unsafe { CStr::from_ptr(mxo_version()) }.to_str().unwrap();
    assert_eq!(version, env!("CARGO_PKG_VERSION"), "mxo_version and Cargo.toml");
}
