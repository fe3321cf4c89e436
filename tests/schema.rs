//! The published schemas and the library agree: each member of the library's options is described, each described member
//! is taken, unknown ones and wrong values are refused by both, and the defaults are the same.
//!
//! The small validator here knows only the keywords that our schemas use, and a schema with another one fails. It does
//! not look at `pattern`, which takes a regular expression engine: a text that only a pattern refuses is left out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by a panic"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use myq_exchange_online::connector::check::{CheckOptions, check};
use myq_exchange_online::connector::events::Filter;
use myq_exchange_online::connector::options::parse;
use myq_exchange_online::connector::sign_in::SignInOptions;
use myq_exchange_online::connector::{Connector, Options};
use myq_exchange_online::identity::cloud::{self, Cloud, MailServer};
use myq_exchange_online::store::Settings;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

/// What the library makes of a document, in the words of `Debug`, or why it refuses.
type Accept = fn(&Json) -> Result<String, String>;

const OPTIONS: &str = "connector-options.schema.json";
const SETTINGS: &str = "system-settings.schema.json";
const PATCH: &str = "system-patch.schema.json";
const FILTER: &str = "events-filter.schema.json";
const CHECK: &str = "check-options.schema.json";
const SIGN_IN: &str = "sign-in-options.schema.json";
/// What the library gives, and so reads never.
const RESULT: &str = "check-result.schema.json";

/// Each object that a schema describes, with the type that reads it.
const OBJECTS: [(&str, &str, Accept); 10] = [
    (OPTIONS, "", |json| told(&Options::from_json(&json.to_string()))),
    (OPTIONS, "/$defs/timeouts", |json| told(&Options::from_json(&json!({ "timeouts": json }).to_string()))),
    (SETTINGS, "", |json| told(&Settings::from_json(json).map_err(|fault| fault.reason))),
    (SETTINGS, "/$defs/cloud", |json| {
        let cloud: Cloud = serde_json::from_value(json.clone()).map_err(|error| error.to_string())?;
        cloud.fault().map_or_else(|| Ok(format!("{cloud:?}")), |(member, reason)| Err(format!("{member}: {reason}")))
    }),
    (SETTINGS, "/$defs/mail_server", |json| {
        let server: MailServer = serde_json::from_value(json.clone()).map_err(|error| error.to_string())?;
        let cloud = Cloud { smtp: server, ..Cloud::named("worldwide").unwrap() };
        cloud.fault().map_or_else(|| Ok(format!("{cloud:?}")), |(_, reason)| Err(reason.to_owned()))
    }),
    (PATCH, "", patched),
    (PATCH, "/$defs/settings", |json| patched(&json!({ "settings": json }))),
    (FILTER, "", |json| told(&parse::<Filter>("filter_json", &json.to_string()))),
    (CHECK, "", |json| told(&CheckOptions::from_json(&json.to_string()))),
    (SIGN_IN, "", |json| told(&parse::<SignInOptions>("options_json", &json.to_string()))),
];

fn told<T: std::fmt::Debug, E: std::fmt::Display>(read: &Result<T, E>) -> Result<String, String> {
    read.as_ref().map(|value| format!("{value:?}")).map_err(ToString::to_string)
}

fn connector() -> &'static Arc<Connector> {
    static CONNECTOR: OnceLock<Arc<Connector>> = OnceLock::new();
    CONNECTOR.get_or_init(|| Connector::open(Options::default()).unwrap())
}

/// A system whose settings can take every patch: a cloud that is a record, and a login name.
fn new_system() -> String {
    let cloud = serde_json::to_value(Cloud::named("worldwide").unwrap()).unwrap();
    let settings = json!({ "cloud": cloud, "login_name": "scan@contoso.com" });
    let (client_id, tenant_id) = ("0d6f3c9a-51b2-4c84-9e0f-7a8b6c5d4e3f", "contoso.com");
    connector().add_system("Scans", client_id, tenant_id, Some(&settings)).unwrap()
}

fn patched(patch: &Json) -> Result<String, String> {
    let id = new_system();
    let updated = connector().update_system(&id, patch).map_err(|error| error.to_string());
    connector().remove_system(&id).unwrap();
    updated.map(|()| String::new())
}

// --- schemas ---

struct Schemas(BTreeMap<String, Json>);

impl Schemas {
    fn read() -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema");
        let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let schemas = files.map(|path: PathBuf| {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, json)
        });
        Self(schemas.collect())
    }

    fn at(&self, file: &str, path: &str) -> &Json {
        self.0[file].pointer(path).unwrap_or_else(|| panic!("{file} has no {path}"))
    }

    /// Follows `$ref`s; what stands beside one is annotation.
    fn resolved<'a>(&'a self, file: &'a str, schema: &'a Json) -> (&'a str, &'a Json) {
        let Some(reference) = schema.get("$ref").and_then(Json::as_str) else { return (file, schema) };
        let (other, path) = reference.split_once('#').unwrap();
        let file = self.0.get_key_value(other).map_or(file, |(name, _)| name.as_str());
        self.resolved(file, self.at(file, path))
    }

    fn is_valid(&self, file: &str, schema: &Json, value: &Json) -> bool {
        let (file, schema) = self.resolved(file, schema);
        schema.as_object().unwrap().iter().all(|(keyword, wanted)| self.obeys(file, schema, keyword, wanted, value))
    }

    fn obeys(&self, file: &str, schema: &Json, keyword: &str, wanted: &Json, value: &Json) -> bool {
        let valid = |schema: &Json, value: &Json| self.is_valid(file, schema, value);
        let number = || wanted.as_u64().unwrap();
        let characters = || value.as_str().map(|text| text.chars().count() as u64);
        match keyword {
            "$schema" | "$defs" | "title" | "description" | "default" | "examples" | "pattern" | "then" => true,
            "type" => match wanted {
                Json::Array(types) => types.iter().any(|name| is_a(value, name)),
                name => is_a(value, name),
            },
            "enum" => wanted.as_array().unwrap().contains(value),
            "const" => wanted == value,
            "anyOf" => wanted.as_array().unwrap().iter().any(|one| valid(one, value)),
            "if" => !valid(wanted, value) || valid(&schema["then"], value),
            "required" => value.as_object().is_none_or(|members| {
                wanted.as_array().unwrap().iter().all(|name| members.contains_key(name.as_str().unwrap()))
            }),
            "properties" => value.as_object().is_none_or(|members| {
                members.iter().all(|(name, member)| wanted.get(name).is_none_or(|schema| valid(schema, member)))
            }),
            "additionalProperties" => {
                assert_eq!(*wanted, json!(false), "{file}");
                let known = |name: &String| schema["properties"].get(name).is_some();
                value.as_object().is_none_or(|members| members.keys().all(known))
            }
            "items" => value.as_array().is_none_or(|items| items.iter().all(|item| valid(wanted, item))),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= number()),
            "uniqueItems" if *wanted == false => true,
            "uniqueItems" => value.as_array().is_none_or(|items| {
                items.iter().map(ToString::to_string).collect::<BTreeSet<_>>().len() == items.len()
            }),
            "minLength" => characters().is_none_or(|length| length >= number()),
            "maxLength" => characters().is_none_or(|length| length <= number()),
            "minimum" => value.as_f64().is_none_or(|value| value >= wanted.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|value| value <= wanted.as_f64().unwrap()),
            other => panic!("{file}: this test does not know the keyword {other}"),
        }
    }

    /// Whether a text could be refused by a pattern that this validator does not look at.
    fn has_pattern(&self, file: &str, schema: &Json) -> bool {
        let (file, schema) = self.resolved(file, schema);
        let alternatives = schema.get("anyOf").and_then(Json::as_array).into_iter().flatten();
        schema.get("pattern").is_some() || alternatives.into_iter().any(|one| self.has_pattern(file, one))
    }
}

fn is_a(value: &Json, name: &Json) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    }
}

fn properties(schema: &Json) -> impl Iterator<Item = (&String, &Json)> {
    schema["properties"].as_object().unwrap().iter()
}

fn examples(schema: &Json) -> &[Json] {
    schema["examples"].as_array().map_or(&[], Vec::as_slice)
}

/// An object that holds all that it must hold, and `value` as `name`.
fn with(schema: &Json, name: &str, value: &Json) -> Json {
    let mut object = if schema.get("required").is_some() { examples(schema)[0].clone() } else { json!({}) };
    object[name] = value.clone();
    object
}

/// Paths are absolute in one way on Windows and in another elsewhere.
fn is_foreign_path(name: &str, value: &Json) -> bool {
    name == "data_directory" && value.as_str().is_some_and(|path| !Path::new(path).is_absolute())
}

/// The names that serde says it would have taken.
fn expected(refusal: &str) -> BTreeSet<String> {
    let (_, list) = refusal.split_once("expected").unwrap_or_else(|| panic!("not serde's words: {refusal}"));
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn names(list: &Json) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

// --- tests ---

#[test]
fn every_schema_is_of_2020_12_and_describes_each_member() {
    let schemas = Schemas::read();
    let known: BTreeSet<_> = OBJECTS.iter().map(|(file, ..)| *file).chain([RESULT]).collect();
    assert_eq!(schemas.0.keys().map(String::as_str).collect::<BTreeSet<_>>(), known);
    for (file, schema) in &schemas.0 {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{file}");
        assert!(schema["title"].is_string() && !examples(schema).is_empty(), "{file}");
    }
    for (file, path, _) in OBJECTS {
        let schema = schemas.at(file, path);
        assert_eq!(schema["additionalProperties"], false, "{file}{path}");
        for (name, member) in properties(schema) {
            assert!(member["description"].as_str().is_some_and(|text| text.ends_with('.')), "{file}{path}: {name}");
            let (_, target) = schemas.resolved(file, member);
            assert!(!examples(member).is_empty() || !examples(target).is_empty(), "{file}{path}: {name}");
        }
    }
}

#[test]
fn the_members_are_those_of_the_library() {
    let schemas = Schemas::read();
    for (file, path, accept) in OBJECTS.into_iter().filter(|(file, ..)| *file != PATCH) {
        let refusal = accept(&json!({"no such member": 1})).unwrap_err();
        let described: BTreeSet<_> = properties(schemas.at(file, path)).map(|(name, _)| name.clone()).collect();
        assert_eq!(described, expected(&refusal), "{file}{path}");
    }
}

#[test]
fn a_patch_changes_what_the_schema_names_and_nothing_else_of_a_system() {
    let schemas = Schemas::read();
    let id = new_system();
    let system = connector().system_json(&id).unwrap();
    let described = schemas.at(PATCH, "/properties").as_object().unwrap();
    for (name, value) in system.as_object().unwrap() {
        let accepted = connector().update_system(&id, &json!({ name: value })).is_ok();
        assert_eq!(accepted, described.contains_key(name), "{name}");
    }
    let of = |file, path| schemas.at(file, path).as_object().unwrap().keys().collect::<BTreeSet<_>>();
    assert_eq!(of(PATCH, "/$defs/settings/properties"), of(SETTINGS, "/properties"));
    assert_eq!(of(PATCH, "/$defs/cloud/properties"), of(SETTINGS, "/$defs/cloud/properties"));
    assert_eq!(of(PATCH, "/$defs/mail_server/properties"), of(SETTINGS, "/$defs/mail_server/properties"));
}

#[test]
fn the_choices_are_those_of_the_library() {
    fn choices<T: DeserializeOwned>(document: Json) -> BTreeSet<String> {
        expected(&serde_json::from_value::<T>(document).err().expect("it was taken").to_string())
    }
    let schemas = Schemas::read();
    let described = |file, path| names(schemas.at(file, path));
    let roots = Options::from_json(r#"{"tls_roots": "no such choice"}"#).unwrap_err().to_string();
    assert_eq!(described(OPTIONS, "/properties/tls_roots/enum"), expected(&roots));
    let families = Options::from_json(r#"{"ip_family": "no such choice"}"#).unwrap_err().to_string();
    assert_eq!(described(OPTIONS, "/properties/ip_family/enum"), expected(&families));
    assert_eq!(
        described(SETTINGS, "/properties/serves/items/enum"),
        choices::<Settings>(json!({"serves": ["no such choice"]}))
    );
    assert_eq!(
        described(SETTINGS, "/$defs/mail_server/properties/tls/enum"),
        choices::<MailServer>(json!({"host": "a.example", "port": 1, "tls": "no such choice"}))
    );
    assert_eq!(
        described(FILTER, "/properties/types/items/enum"),
        choices::<Filter>(json!({"types": ["no such choice"]}))
    );
    assert_eq!(
        described(FILTER, "/properties/log_level/enum"),
        choices::<Filter>(json!({"log_level": "no such choice"}))
    );
    assert_eq!(
        described(SIGN_IN, "/properties/if_pending/enum"),
        choices::<SignInOptions>(json!({"if_pending": "no such choice"}))
    );
    let clouds: BTreeSet<_> = cloud::NAMES.map(str::to_owned).into();
    assert_eq!(described(SETTINGS, "/properties/cloud/anyOf/0/enum"), clouds);
    assert_eq!(described(PATCH, "/$defs/settings/properties/cloud/anyOf/0/enum"), clouds);
}

#[test]
fn every_example_is_taken() {
    let schemas = Schemas::read();
    for (file, path, accept) in OBJECTS {
        let schema = schemas.at(file, path);
        let mut documents: Vec<Json> = examples(schema).to_vec();
        for (name, member) in properties(schema) {
            let target = schemas.resolved(file, member).1;
            let values = examples(member).iter().chain(examples(target));
            let values: Vec<_> = values.filter(|value| !is_foreign_path(name, value)).collect();
            assert!(!values.is_empty(), "{file}{path}: {name}");
            documents.extend(values.into_iter().map(|value| with(schema, name, value)));
        }
        for document in documents {
            let foreign = document.get("data_directory").is_some_and(|path| is_foreign_path("data_directory", path));
            assert!(schemas.is_valid(file, schema, &document), "{file}{path}: {document}");
            assert!(foreign || accept(&document).is_ok(), "{file}{path}: {document}: {:?}", accept(&document));
        }
    }
}

#[test]
fn the_defaults_are_those_of_the_library() {
    let schemas = Schemas::read();
    for (file, path, accept) in OBJECTS.into_iter().filter(|(file, ..)| *file != PATCH) {
        let schema = schemas.at(file, path);
        let required = schema.get("required").map(names).unwrap_or_default();
        for (name, member) in properties(schema) {
            let Some(default) = member.get("default") else {
                assert!(required.contains(name), "{file}{path}: {name} has no default");
                continue;
            };
            assert!(!required.contains(name), "{file}{path}: {name} has a default and is required");
            let (mut without, given) = (with(schema, name, default), with(schema, name, default));
            without.as_object_mut().unwrap().remove(name);
            assert_eq!(accept(&without).unwrap(), accept(&given).unwrap(), "{file}{path}: {name}");
        }
    }
    let settings = serde_json::to_value(Settings::default()).unwrap();
    for (name, value) in settings.as_object().unwrap() {
        assert_eq!(schemas.at(SETTINGS, &format!("/properties/{name}/default")), value, "{name}");
    }
}

#[test]
fn schema_and_library_refuse_the_same() {
    let schemas = Schemas::read();
    let probes = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(70_000),
        json!(""),
        json!("no such choice"),
        json!("x".repeat(5_000)),
        json!([]),
        json!(["no such choice"]),
        json!(["smtp", "smtp"]),
        json!({}),
        json!({"no such member": 1}),
    ];
    let mut refused = 0;
    for (file, path, accept) in OBJECTS {
        let schema = schemas.at(file, path);
        let mut unknown = with(schema, "no such member", &json!(1));
        assert!(!schemas.is_valid(file, schema, &unknown) && accept(&unknown).is_err(), "{file}{path}");
        unknown.as_object_mut().unwrap().remove("no such member");
        assert!(schemas.is_valid(file, schema, &unknown) && accept(&unknown).is_ok(), "{file}{path}");
        for (name, member) in properties(schema) {
            for probe in &probes {
                let document = with(schema, name, probe);
                let (by_schema, by_library) = (schemas.is_valid(file, schema, &document), accept(&document));
                refused += usize::from(by_library.is_err());
                let beyond_us = probe.is_string() && schemas.has_pattern(file, member);
                if by_schema {
                    assert!(by_library.is_ok() || beyond_us, "{file}{path}: {name} = {probe}: {by_library:?}");
                } else {
                    assert!(by_library.is_err(), "{file}{path}: {name} = {probe} is refused by the schema only");
                }
            }
        }
    }
    assert!(refused > 300, "only {refused} wrong values were refused: do the probes still reach the library?");
}

#[test]
fn without_openid_the_login_name_must_be_given() {
    let schemas = Schemas::read();
    let schema = schemas.at(SETTINGS, "");
    for (document, good) in [
        (json!({"openid": false}), false),
        (json!({"openid": false, "login_name": null}), false),
        (json!({"openid": false, "login_name": "scan@contoso.com"}), true),
        (json!({"openid": true}), true),
    ] {
        assert_eq!(schemas.is_valid(SETTINGS, schema, &document), good, "{document}");
        assert_eq!(Settings::from_json(&document).is_ok(), good, "{document}");
    }
}

#[test]
fn a_check_gives_what_its_schema_describes() {
    let schemas = Schemas::read();
    let schema = schemas.at(RESULT, "");
    for example in examples(schema) {
        assert!(schemas.is_valid(RESULT, schema, example), "{example:#}");
    }
    // Nobody answers at the address, which is a result as good as any.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut cloud = serde_json::to_value(Cloud::named("worldwide").unwrap()).unwrap();
    for name in ["device_authorization_endpoint", "token_endpoint", "authorization_endpoint"] {
        cloud[name] = json!(format!("https://{closed}/{{tenant}}/oauth2"));
    }
    cloud["smtp"] = json!({"host": "127.0.0.1", "port": closed.port(), "tls": "starttls"});
    let connector = Connector::open(Options::from_json(r#"{"proxy": "none"}"#).unwrap()).unwrap();
    let client_id = "0d6f3c9a-51b2-4c84-9e0f-7a8b6c5d4e3f";
    let id = connector.add_system("Scans", client_id, "contoso.com", Some(&json!({ "cloud": cloud }))).unwrap();
    let operation = connector.new_operation().unwrap();
    let (core, told) = (Arc::clone(&connector.core), Arc::clone(&operation));
    connector.run(&operation, check(core, id, CheckOptions::default(), told));
    let Some(Ok(success)) = operation.wait(Some(std::time::Duration::from_secs(60))) else { panic!("no result") };
    let result: Json = serde_json::from_slice(success.value.json().to_bytes()).unwrap();
    assert!(schemas.is_valid(RESULT, schema, &result), "{result:#}");
    let steps = result["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap().to_owned());
    assert_eq!(steps.collect::<BTreeSet<_>>(), names(schemas.at(RESULT, "/$defs/name/enum")));
    connector.close();
}
