//! The JSON schema of matrix files, made from the same tables as the reader and the catalogue.
//!
//! It is for editors, and accepts whatever the reader accepts; what only the reader can know (whether a
//! name is defined, whether a path is there, which parameters go together) it leaves to it.

use guest_tests::catalogue::{Kind, ParamInfo, Workload};
use serde_json::{Map, Value, json};

use super::axes::PLAIN;
use super::cases;
use super::expect::VERDICTS;
use super::machines::{ACCELS, BACKENDS, CPUS};
use super::{FINDING_CLASSES, VERSION};

/// The schema (draft 7, which editors know best).
#[must_use]
pub fn schema() -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A matrix of Patchproof",
        "description": "Which kernels are built, what they boot in, what runs there, and what is expected.",
        "type": "object",
        "additionalProperties": false,
        "required": ["version", "kernels", "machines", "matrix"],
        "properties": {
            "version": { "const": VERSION, "description": "The version of this format." },
            "defaults": defaults(),
            "sources": blocks("Sources with names, for kernels and the axis `source`.", reference("provider")),
            "racepoints": blocks("Racepoint settings with names, for the axis `racepoint`.", reference("arms")),
            "kernels": blocks("What is built: a source, series on it, and how it is configured.", kernel()),
            "machines": blocks("What it boots in. The backend is a part of each cell's id.", machine()),
            "cases": blocks("What runs there: a workload, its parameters, a seed and a budget.", case()),
            "matrix": matrix(),
            "expect": {
                "description": "What is right; of several entries that match a cell, the last one counts.",
                "type": "array", "maxItems": 1000, "items": expectation(),
            },
        },
        "definitions": definitions(),
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

/// A map of blocks with names.
fn blocks(description: &str, block: Value) -> Value {
    json!({
        "description": description, "type": "object",
        "propertyNames": reference("name"), "additionalProperties": block,
    })
}

fn object(properties: Value) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn list(item: Value) -> Value {
    json!({ "type": "array", "minItems": 1, "items": item })
}

/// One value, or several of which any will do.
fn some_of(item: &Value) -> Value {
    json!({ "anyOf": [item, list(item.clone())] })
}

fn words<T>(table: &[(&str, T)]) -> Value {
    json!({ "enum": table.iter().map(|(word, _)| *word).collect::<Vec<_>>() })
}

fn defaults() -> Value {
    let mut schema = machine();
    let properties = schema["properties"].as_object_mut();
    if let Some(properties) = properties {
        properties.remove("like");
        properties.insert("seed".to_owned(), reference("seed"));
        properties.insert("budget".to_owned(), reference("duration"));
    }
    schema["description"] = "What a machine or case that says nothing takes.".into();
    schema
}

fn kernel() -> Value {
    object(json!({
        "like": { "type": "string", "description": "Another kernel: what is not given here is taken from it." },
        "source": { "anyOf": [reference("provider"), { "type": "string", "description": "One of `sources`." }] },
        "kconfigs": {
            "description": "Fragments, merged in this order: names of kconfigs/NAME.config, or paths (./my.config).",
            "type": "array", "minItems": 1, "items": { "type": ["string", "number", "boolean"] },
        },
        "series": {
            "description": "Series, applied in this order: folders of patches/, or paths of an mbox, a patch, a folder.",
            "type": "array", "items": { "type": ["string", "number", "boolean"] },
        },
        "trusted": { "type": "boolean", "description": "Whether its guests may read this host's files." },
    }))
}

fn machine() -> Value {
    let (cpus_min, cpus_max) = (CPUS.start(), CPUS.end());
    object(json!({
        "like": { "type": "string", "description": "Another machine: what is not given here is taken from it." },
        "backend": words(BACKENDS),
        "accel": words(ACCELS),
        "cpus": { "type": "integer", "minimum": cpus_min, "maximum": cpus_max },
        "memory": reference("size"),
        "swap": reference("disk"),
        "data": reference("disk"),
        "boot_args": { "type": "array", "items": reference("boot_arg") },
    }))
}

fn case() -> Value {
    let workloads = Workload::all();
    let mut schema = object(json!({
        "like": { "type": "string", "description": "Another case: what is not given here is taken from it, each parameter by itself." },
        "workload": { "anyOf": workloads.iter().map(|w| json!({ "const": w.name, "description": w.doc })).collect::<Vec<_>>() },
        "seed": reference("seed"),
        "budget": reference("duration"),
        "params": { "type": "object" },
    }));
    debug_assert!(
        cases::KEYS
            .iter()
            .all(|key| schema["properties"].get(key).is_some())
    );
    let of = |info: &guest_tests::catalogue::Info| {
        json!({
            "if": { "properties": { "workload": { "const": info.name } }, "required": ["workload"] },
            "then": { "properties": { "params": params(&info.params, param) } },
        })
    };
    schema["allOf"] = workloads.iter().map(of).collect();
    schema
}

/// The parameters of one workload, or of all.
fn params(rows: &[ParamInfo], value: impl Fn(&ParamInfo) -> Value) -> Value {
    let mut properties: Map<String, Value> = Map::new();
    for row in rows {
        let value = value(row);
        match properties.get_mut(row.name) {
            // Several workloads have one of that name: what any of them takes.
            Some(known) if *known != value => {
                let all = known["anyOf"]
                    .as_array()
                    .cloned()
                    .unwrap_or_else(|| vec![known.clone()]);
                *known = json!({ "anyOf": all.into_iter().chain([value]).collect::<Vec<_>>() });
            }
            Some(_) => {}
            None => {
                properties.insert(row.name.to_owned(), value);
            }
        }
    }
    object(properties.into())
}

/// The parameters of all workloads, each name once.
fn params_of_all() -> Map<String, Value> {
    let rows: Vec<ParamInfo> = Workload::all().into_iter().flat_map(|info| info.params).collect();
    params(&rows, param)["properties"]
        .as_object()
        .cloned()
        .unwrap_or_default()
}

fn param(row: &ParamInfo) -> Value {
    let mut value = match row.kind {
        Kind::Bytes => {
            json!({ "anyOf": [reference("size"), { "const": 0 }], "default": row.default.to_string() })
        }
        Kind::Count if row.name.ends_with("_percent") => json!({
            "anyOf": [
                { "type": "integer", "minimum": row.min, "maximum": row.max },
                { "type": "string", "pattern": "^[0-9]{1,3}%$" },
            ],
        }),
        Kind::Count => json!({ "type": "integer", "minimum": row.min, "maximum": row.max }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Set(_) => json!({ "type": "string" }),
    };
    value["description"] = format!("{} (default: {})", row.doc, row.default).into();
    value
}

/// What a value of each axis may be.
fn axis_value(key: &str) -> Value {
    match key {
        "source" => json!({ "anyOf": [{ "type": "string" }, reference("provider")] }),
        "series" | "kconfigs" | "boot_args" => {
            let item = if key == "boot_args" {
                reference("boot_arg")
            } else {
                json!({ "type": ["string", "number", "boolean"] })
            };
            let mut named =
                object(json!({ "name": reference("name"), key: { "type": "array", "items": item } }));
            named["required"] = json!(["name", key]);
            json!({ "anyOf": [{ "type": ["string", "number", "boolean"] }, named] })
        }
        "backend" => words(BACKENDS),
        "accel" => words(ACCELS),
        "cpus" => machine()["properties"]["cpus"].clone(),
        "memory" => reference("size"),
        "swap" => reference("disk"),
        "budget" => reference("duration"),
        "racepoint" => {
            json!({ "anyOf": [{ "type": "string", "description": "`off`, or one of `racepoints`." }, reference("arms")] })
        }
        "seed" => reference("seed"),
        // Names, where `12` is a word too.
        _ => json!({ "type": ["string", "number", "boolean"] }),
    }
}

/// Every axis, each with what `value` makes of what one of its values may be.
fn axes(value: impl Fn(&str, Value) -> Value) -> Map<String, Value> {
    let mut all: Map<String, Value> = PLAIN
        .iter()
        .map(|(key, _)| ((*key).to_owned(), value(key, axis_value(key))))
        .collect();
    let named = params_of_all();
    let named = named.keys().map(|name| {
        let defined = reference(&format!("param_{name}"));
        (name.clone(), value("params", defined))
    });
    let named: Map<String, Value> = named.collect();
    all.insert("params".to_owned(), object(named.into()));
    all
}

fn matrix() -> Value {
    let mut properties = axes(|key, item| match key {
        "seed" => list(
            json!({ "anyOf": [item, { "type": "string", "pattern": "^[0-9]+\\.\\.[0-9]+$", "description": "A range, both ends included: 1..20" }] }),
        ),
        _ => list(item),
    });
    let names: Vec<&str> = Workload::all().iter().map(|w| w.name).collect();
    properties.insert(
        "workload".to_owned(),
        list(json!({ "enum": names, "description": "In place of `case`: workloads with their defaults." })),
    );
    properties.insert("repeat".to_owned(), repeat());
    properties.insert(
        "exclude".to_owned(),
        json!({ "description": "Combinations that go: those that have all the values of an entry.",
                "type": "array", "maxItems": 1000, "items": object(entry().into()) }),
    );
    let mut include = axes(|_, item| item);
    include.insert("repeat".to_owned(), repeat());
    properties.insert(
        "include".to_owned(),
        json!({ "description": "Values added to the combinations that an entry fits, or a new combination where it fits none.",
                "type": "array", "maxItems": 1000, "items": object(include.into()) }),
    );
    let mut matrix = object(properties.into());
    matrix["description"] =
        "Which values are crossed; `exclude` and `include` mean what they mean in GitHub Actions.".into();
    matrix
}

fn repeat() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": 1000, "description": "How often, each time with a seed of its own." })
}

/// What tells cells apart: names and values, one or several of an axis.
fn entry() -> Map<String, Value> {
    axes(|key, item| match key {
        "backend" | "accel" | "cpus" | "memory" | "swap" | "budget" | "seed" => some_of(&item),
        _ => reference("names"),
    })
}

fn expectation() -> Value {
    let mut properties = entry();
    let finding = json!({
        "anyOf": [
            { "enum": FINDING_CLASSES.iter().copied().chain(["splat"]).collect::<Vec<_>>() },
            {
                "type": "object", "minProperties": 1, "additionalProperties": false,
                "properties": {
                    "splat": { "type": "string", "description": "A regular expression, searched for in the report's title." },
                    "function": { "type": "string", "description": "A regular expression that must match the function's whole name." },
                },
            },
        ],
    });
    properties.insert("verdict".to_owned(), words(VERDICTS));
    properties.insert("finding".to_owned(), some_of(&finding));
    properties.insert("reason".to_owned(), json!({ "type": "string", "description": "A regular expression, searched for in why a cell does not pass." }));
    let mut expectation = object(properties.into());
    expectation["required"] = json!(["verdict"]);
    expectation
}

fn definitions() -> Value {
    let arm = json!({
        "type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
        "properties": {
            "delay": {
                "description": "Each hit waits for a random time in this range: 100us..300us",
                "type": "string", "pattern": "^[0-9]+(us|ms|s)(\\.\\.[0-9]+(us|ms|s))?$",
            },
            "hold": { "$ref": "#/definitions/duration", "description": "The longest time that a workload's script may hold a thread here." },
        },
    });
    let mut provider = object(json!({
        "debian": { "type": "string", "pattern": "^linux-source", "description": "A distribution package." },
        "dir": { "type": "string", "description": "A tree, which may be dirty." },
        "tarball": { "type": "string" },
        "git": { "type": "string", "description": "A repository: a path, a URL, user@host:path." },
        "image": { "type": "string", "description": "A ready bzImage." },
        "rev": { "type": ["string", "number"], "description": "Of a git source: a tag, branch or commit." },
        "name": { "$ref": "#/definitions/name", "description": "On an axis: what it is called in ids." },
    }));
    provider["minProperties"] = 1.into();
    let mut all = json!({
        "name": { "type": ["string", "integer"], "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$" },
        "size": { "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB|TiB)$" },
        "disk": { "anyOf": [{ "$ref": "#/definitions/size" }, { "const": "none" }] },
        "duration": { "type": "string", "pattern": "^[0-9]+(us|ms|s|min|h)$" },
        "seed": { "type": "integer", "minimum": 0 },
        "names": some_of(&json!({ "type": ["string", "number", "boolean"] })),
        "boot_arg": { "type": "string", "pattern": "^[A-Za-z0-9_.,=:/@+%][A-Za-z0-9_.,=:/@+%-]*$" },
        "provider": provider,
        "arms": {
            "description": "Racepoints that are armed, and how; `random` draws others every two seconds.",
            "type": "object", "minProperties": 1, "maxProperties": 9,
            "properties": { "name": { "$ref": "#/definitions/name" } },
            "additionalProperties": arm,
        },
    });
    for (name, schema) in params_of_all() {
        all[format!("param_{name}")] = schema;
    }
    all
}
