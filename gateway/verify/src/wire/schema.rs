//! The messages of the envelope as tables; a test compares them with the compiled proto files.

/// One message.
#[derive(Debug)]
pub(super) struct Message {
    /// Full name, for the comparison with the proto files.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the test that compares with the proto files"))]
    pub(super) name: &'static str,
    /// Its fields.
    pub(super) fields: &'static [Field],
}

/// One field.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) count: Count,
}

/// What a field holds.
#[derive(Debug)]
pub(super) enum Kind {
    /// UTF-8.
    Text,
    /// Bytes.
    Bytes,
    /// uint64 or int64.
    Number,
    /// int32 or an enum.
    Small,
    /// A message.
    Message(&'static Message),
}

/// How often a field may stand.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Count {
    /// At most once.
    Once,
    /// At most once, and no other arm of the same oneof.
    OneOf,
    /// Any number of times.
    Many,
}

const fn once(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, count: Count::Once }
}

const fn arm(number: u32, name: &'static str, message: &'static Message) -> Field {
    Field { number, name, kind: Kind::Message(message), count: Count::OneOf }
}

const fn many(number: u32, name: &'static str, message: &'static Message) -> Field {
    Field { number, name, kind: Kind::Message(message), count: Count::Many }
}

/// The outer message.
pub(super) static SIGNED_ENVELOPE: Message = Message {
    name: "lienthong.gateway.v1.SignedEnvelope",
    fields: &[once(1, "envelope", Kind::Bytes), many(2, "signatures", &SIGNATURE)],
};

static SIGNATURE: Message = Message {
    name: "lienthong.gateway.v1.Signature",
    fields: &[once(1, "cms", Kind::Bytes), once(2, "role", Kind::Small)],
};

/// The signed message.
pub(super) static ENVELOPE: Message = Message {
    name: "lienthong.gateway.v1.Envelope",
    fields: &[
        once(1, "schema", Kind::Text),
        once(2, "id", Kind::Text),
        once(3, "from", Kind::Text),
        many(4, "to", &RECIPIENT),
        once(5, "created_at", Kind::Message(&TIMESTAMP)),
        once(6, "expires_at", Kind::Message(&TIMESTAMP)),
        once(7, "priority", Kind::Small),
        once(8, "in_reply_to", Kind::Message(&REFERENCE)),
        once(9, "supersedes", Kind::Message(&REFERENCE)),
        once(10, "case", Kind::Message(&CASE)),
        arm(11, "document", &DOCUMENT),
        arm(12, "dossier", &DOSSIER),
        arm(13, "status", &STATUS),
        arm(14, "change_request", &CHANGE_REQUEST),
        arm(15, "change_answer", &CHANGE_ANSWER),
        arm(16, "opaque", &OPAQUE),
        many(17, "parts", &PART),
    ],
};

static TIMESTAMP: Message = Message {
    name: "google.protobuf.Timestamp",
    fields: &[once(1, "seconds", Kind::Number), once(2, "nanos", Kind::Small)],
};

static RECIPIENT: Message =
    Message { name: "lienthong.gateway.v1.Recipient", fields: &[once(1, "agency", Kind::Text)] };

static REFERENCE: Message = Message {
    name: "lienthong.gateway.v1.Reference",
    fields: &[once(1, "sender", Kind::Text), once(2, "id", Kind::Text), once(3, "sha256", Kind::Bytes)],
};

static CASE: Message = Message {
    name: "lienthong.gateway.v1.Case",
    fields: &[
        once(1, "file_code", Kind::Text),
        once(2, "issuer", Kind::Text),
        once(3, "procedure_code", Kind::Text),
        once(4, "step", Kind::Text),
    ],
};

static DOCUMENT: Message = Message {
    name: "lienthong.gateway.v1.Document",
    fields: &[
        once(1, "code", Kind::Text),
        once(2, "type_name", Kind::Text),
        once(3, "subject", Kind::Text),
        once(4, "promulgated_on", Kind::Text),
    ],
};

static DOSSIER: Message = Message {
    name: "lienthong.gateway.v1.Dossier",
    fields: &[once(1, "subject", Kind::Text), once(2, "due_on", Kind::Text), once(3, "state", Kind::Text)],
};

static STATUS: Message = Message {
    name: "lienthong.gateway.v1.Status",
    fields: &[
        once(1, "code", Kind::Text),
        once(2, "description", Kind::Text),
        once(3, "at", Kind::Message(&TIMESTAMP)),
    ],
};

static CHANGE_REQUEST: Message = Message {
    name: "lienthong.gateway.v1.ChangeRequest",
    fields: &[once(1, "kind", Kind::Small), once(2, "reason", Kind::Text)],
};

static CHANGE_ANSWER: Message = Message {
    name: "lienthong.gateway.v1.ChangeAnswer",
    fields: &[once(1, "verdict", Kind::Small), once(2, "reason", Kind::Text)],
};

static OPAQUE: Message = Message {
    name: "lienthong.gateway.v1.Opaque",
    fields: &[once(1, "type", Kind::Text), once(2, "body", Kind::Bytes)],
};

static PART: Message = Message {
    name: "lienthong.gateway.v1.Part",
    fields: &[
        once(1, "name", Kind::Text),
        once(2, "media_type", Kind::Text),
        once(3, "size", Kind::Number),
        once(4, "sha256", Kind::Bytes),
        once(5, "role", Kind::Text),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use prost_types::field_descriptor_proto::{Label, Type};
    use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

    #[test]
    fn the_tables_say_what_the_proto_files_say() {
        let files = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap();
        compare(&SIGNED_ENVELOPE, &files);
        compare(&ENVELOPE, &files);
    }

    fn compare(table: &Message, files: &FileDescriptorSet) {
        let described = find(files, table.name);
        assert_eq!(described.field.len(), table.fields.len(), "{}", table.name);
        for (ours, theirs) in table.fields.iter().zip(&described.field) {
            assert_eq!(i32::try_from(ours.number).unwrap(), theirs.number(), "{}.{}", table.name, ours.name);
            assert_eq!(ours.name, theirs.name(), "{}", table.name);
            let count = match (theirs.label(), theirs.oneof_index) {
                (Label::Repeated, _) => Count::Many,
                (_, Some(_)) => Count::OneOf,
                _ => Count::Once,
            };
            assert_eq!(ours.count, count, "{}.{}", table.name, ours.name);
            compare_kind(ours, theirs, files);
        }
    }

    fn compare_kind(ours: &Field, theirs: &FieldDescriptorProto, files: &FileDescriptorSet) {
        match (&ours.kind, theirs.r#type()) {
            (Kind::Text, Type::String)
            | (Kind::Bytes, Type::Bytes)
            | (Kind::Number, Type::Int64 | Type::Uint64)
            | (Kind::Small, Type::Int32 | Type::Enum) => {}
            (Kind::Message(message), Type::Message) => {
                assert_eq!(format!(".{}", message.name), theirs.type_name());
                compare(message, files);
            }
            (kind, r#type) => panic!("{}: {kind:?} against {type:?}", ours.name),
        }
    }

    fn find<'a>(files: &'a FileDescriptorSet, name: &str) -> &'a DescriptorProto {
        let named =
            files.file.iter().flat_map(|file| file.message_type.iter().map(move |message| (file.package(), message)));
        named.into_iter().find(|(package, message)| format!("{package}.{}", message.name()) == name).unwrap().1
    }
}
