//! The wire is told and named well: a comment on everything, and the naming rules of buf's standard lint.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{HashMap, HashSet};

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
};
use tests_tidy::settle;

const PACKAGE: &str = "lienthong.gateway.v1";

#[test]
fn everything_on_the_wire_carries_a_comment() {
    let mut complaints = Vec::new();
    for file in files() {
        let comments = Comments::of(&file);
        let name = file.name();
        for (index, message) in file.message_type.iter().enumerate() {
            comments.check_message(message, &[4, at(index)], name, &mut complaints);
        }
        for (index, item) in file.enum_type.iter().enumerate() {
            comments.check_enum(item, &[5, at(index)], name, &mut complaints);
        }
        for (index, service) in file.service.iter().enumerate() {
            comments.check_service(service, &[6, at(index)], name, &mut complaints);
        }
    }
    settle(&complaints, "write a comment above it: what it is and what it promises");
}

#[test]
fn every_file_stands_in_the_package_and_in_its_folder() {
    let mut complaints = Vec::new();
    for file in files() {
        let folder = file.name().rsplit_once('/').map_or("", |(folder, _)| folder);
        if file.package() != PACKAGE || folder != PACKAGE.replace('.', "/") || file.syntax() != "proto3" {
            complaints.push(format!("{}: package {} in {}", file.name(), file.package(), file.syntax()));
        }
    }
    settle(&complaints, "put it into package lienthong.gateway.v1, in the folder of that name, in proto3");
}

#[test]
fn messages_and_fields_are_named_by_the_rules() {
    let mut complaints = Vec::new();
    for file in files() {
        for message in file.message_type.iter().flat_map(with_nested) {
            check_case(message.name(), is_pascal, "PascalCase", &mut complaints);
            for field in &message.field {
                check_case(field.name(), is_snake, "lower_snake_case", &mut complaints);
            }
            // `optional` makes a choice of one field, which the compiler names.
            let is_optional = |number: usize| {
                let of_it = |field: &&FieldDescriptorProto| field.oneof_index == i32::try_from(number).ok();
                message.field.iter().filter(of_it).all(|field| field.proto3_optional())
            };
            let choices = message.oneof_decl.iter().enumerate().filter(|(number, _)| !is_optional(*number));
            for (_, choice) in choices {
                check_case(choice.name(), is_snake, "lower_snake_case", &mut complaints);
            }
        }
    }
    settle(&complaints, "rename it before anybody depends on the name");
}

#[test]
fn enum_values_carry_the_name_of_their_enum_and_zero_says_nothing() {
    let mut complaints = Vec::new();
    for file in files() {
        let nested = file.message_type.iter().flat_map(with_nested).flat_map(|message| message.enum_type.iter());
        for item in file.enum_type.iter().chain(nested) {
            let prefix = format!("{}_", upper_snake(item.name()));
            for value in &item.value {
                let fits = value.name().starts_with(&prefix) && is_upper_snake(value.name());
                let zero = value.number() == 0;
                if !fits || zero != (value.name() == format!("{prefix}UNSPECIFIED")) {
                    complaints.push(format!("{}: {} = {}", item.name(), value.name(), value.number()));
                }
            }
        }
    }
    settle(&complaints, "prefix each value with the enum's name, and let 0 be …_UNSPECIFIED and nothing else");
}

#[test]
fn each_call_has_a_request_and_a_response_of_its_own() {
    let mut complaints = Vec::new();
    let mut seen = HashSet::new();
    for file in files() {
        for service in &file.service {
            if !service.name().ends_with("Service") {
                complaints.push(format!("{} does not end in Service", service.name()));
            }
            for method in &service.method {
                for (message, end) in [(method.input_type(), "Request"), (method.output_type(), "Response")] {
                    // Where two services have a call of one name, the service goes before it, as buf allows.
                    let short = format!(".{PACKAGE}.{}{end}", method.name());
                    let long = format!(".{PACKAGE}.{}{}{end}", service.name(), method.name());
                    if message != short && message != long {
                        complaints.push(format!("{}.{} uses {message}", service.name(), method.name()));
                    }
                    if !seen.insert(message.to_owned()) {
                        complaints.push(format!("{message} belongs to two calls"));
                    }
                }
            }
        }
    }
    settle(
        &complaints,
        "name them after the call: <Call>Request and <Call>Response (or <Service><Call>…), each used once",
    );
}

#[test]
fn the_lint_knows_good_names_from_bad_ones() {
    assert!(is_pascal("SubmitRequest") && !is_pascal("submitRequest") && !is_pascal("Submit_Request"));
    assert!(is_snake("file_code") && !is_snake("fileCode") && !is_snake("file__code") && !is_snake("file_"));
    assert_eq!(upper_snake("SignatureRole"), "SIGNATURE_ROLE");
}

/// The files of the package, without what they import.
fn files() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap();
    let ours: Vec<_> = set.file.into_iter().filter(|file| !file.name().starts_with("google/")).collect();
    assert!(ours.len() >= 5, "the descriptors hold {} files of ours", ours.len());
    ours
}

/// Comments of one file by descriptor path.
struct Comments(HashMap<Vec<i32>, String>);

impl Comments {
    fn of(file: &FileDescriptorProto) -> Self {
        let info = file.source_code_info.clone().unwrap_or_default();
        Self(info.location.into_iter().map(|l| (l.path.clone(), l.leading_comments().trim().to_owned())).collect())
    }

    fn check_message(&self, message: &DescriptorProto, path: &[i32], name: &str, complaints: &mut Vec<String>) {
        // The entries of a map field are made by the compiler.
        if message.options.as_ref().is_some_and(|options| options.map_entry()) {
            return;
        }
        let name = format!("{name}: {}", message.name());
        self.need(path, &name, complaints);
        for (index, field) in message.field.iter().enumerate() {
            self.need(&join(path, 2, index), &format!("{name}.{}", field.name()), complaints);
        }
        for (index, nested) in message.nested_type.iter().enumerate() {
            self.check_message(nested, &join(path, 3, index), &name, complaints);
        }
        for (index, item) in message.enum_type.iter().enumerate() {
            self.check_enum(item, &join(path, 4, index), &name, complaints);
        }
    }

    fn check_enum(&self, item: &EnumDescriptorProto, path: &[i32], name: &str, complaints: &mut Vec<String>) {
        let name = format!("{name}: {}", item.name());
        self.need(path, &name, complaints);
        for (index, value) in item.value.iter().enumerate() {
            self.need(&join(path, 2, index), &format!("{name}.{}", value.name()), complaints);
        }
    }

    fn check_service(&self, service: &ServiceDescriptorProto, path: &[i32], name: &str, complaints: &mut Vec<String>) {
        let name = format!("{name}: {}", service.name());
        self.need(path, &name, complaints);
        for (index, method) in service.method.iter().enumerate() {
            self.need(&join(path, 2, index), &format!("{name}.{}", method.name()), complaints);
        }
    }

    fn need(&self, path: &[i32], name: &str, complaints: &mut Vec<String>) {
        if self.0.get(path).is_none_or(String::is_empty) {
            complaints.push(format!("{name} has no comment"));
        }
    }
}

fn join(path: &[i32], field: i32, index: usize) -> Vec<i32> {
    [path, &[field, at(index)]].concat()
}

fn at(index: usize) -> i32 {
    i32::try_from(index).unwrap()
}

fn with_nested(message: &DescriptorProto) -> Vec<&DescriptorProto> {
    if message.options.as_ref().is_some_and(|options| options.map_entry()) {
        return Vec::new();
    }
    std::iter::once(message).chain(message.nested_type.iter().flat_map(with_nested)).collect()
}

fn check_case(name: &str, fits: fn(&str) -> bool, wanted: &str, complaints: &mut Vec<String>) {
    if !fits(name) {
        complaints.push(format!("{name} is not in {wanted}"));
    }
}

fn is_pascal(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn is_snake(name: &str) -> bool {
    let piece = |piece: &str| !piece.is_empty() && piece.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    name.split('_').all(piece)
}

fn is_upper_snake(name: &str) -> bool {
    is_snake(&name.to_ascii_lowercase()) && name == name.to_ascii_uppercase()
}

fn upper_snake(name: &str) -> String {
    let mut out = String::new();
    for (index, c) in name.chars().enumerate() {
        if index > 0 && c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}
