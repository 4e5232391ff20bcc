//! Writes packages strictly: the standard's order, one prefix, every element that a reader may look for, raw base64.

use gateway_model::Timestamp;
use quick_xml::escape::escape;

use super::attachment;
use super::day::{local_time_text, slashed};
use super::package::{Attachment, Business, BusinessKind, Document, Organ, ResponseFor, Status};
use super::tree::NAMESPACE;

/// The bytes of a document package. `traced_at` is when the sender hands it over.
pub fn write_document(document: &Document, traced_at: Timestamp) -> Vec<u8> {
    let mut out = Writer::begin();
    out.open("edXMLEnvelope");
    out.open("edXMLHeader");
    message_header(&mut out, document);
    trace_list(&mut out, document, traced_at);
    out.close("edXMLHeader");
    out.open("edXMLBody");
    out.raw("<edXML:edXMLManifest version=\"1.0\">");
    for (index, file) in document.attachments.iter().enumerate() {
        out.open("Reference");
        described(&mut out, index, file);
        out.close("Reference");
    }
    out.close("edXMLManifest");
    out.close("edXMLBody");
    out.close("edXMLEnvelope");
    out.open("AttachmentEncoded");
    for (index, file) in document.attachments.iter().enumerate() {
        out.open("Attachment");
        described(&mut out, index, file);
        out.text("ContentTransferEncoded", &attachment::encode(&file.file));
        out.close("Attachment");
    }
    out.close("AttachmentEncoded");
    out.finish()
}

/// The bytes of a status package.
pub fn write_status(status: &Status, now: Timestamp) -> Vec<u8> {
    let mut out = Writer::begin();
    out.open("edXMLEnvelope");
    out.open("edXMLHeader");
    out.open("MessageHeader");
    organ(&mut out, "From", &status.from);
    response_for(&mut out, &status.response_for);
    out.text("StatusCode", &status.code);
    out.text("Description", &status.description);
    out.text("Timestamp", &local_time_text(status.at.unwrap_or(now)));
    out.close("MessageHeader");
    out.close("edXMLHeader");
    out.close("edXMLEnvelope");
    out.finish()
}

fn message_header(out: &mut Writer, document: &Document) {
    out.open("MessageHeader");
    organ(out, "From", &document.from);
    document.to.iter().for_each(|to| organ(out, "To", to));
    out.text("DocumentId", &document.document_id);
    out.open("Code");
    out.text("CodeNumber", &document.code_number);
    out.text("CodeNotation", &document.code_notation);
    out.close("Code");
    out.open("PromulgationInfo");
    out.text("Place", &document.place);
    out.text("PromulgationDate", &slashed(&document.promulgated_on));
    out.close("PromulgationInfo");
    out.open("DocumentType");
    out.text("TypeName", &document.type_name);
    out.close("DocumentType");
    out.text("Subject", &document.subject);
    out.optional("Content", &document.content);
    out.optional("DueDate", &slashed(&document.due_on));
    out.open("OtherInfo");
    out.text("Priority", &document.priority.to_string());
    out.close("OtherInfo");
    document.response_for.iter().for_each(|response| response_for(out, response));
    out.optional("ApplicationType", &document.application_type);
    out.close("MessageHeader");
}

fn organ(out: &mut Writer, element: &str, organ: &Organ) {
    out.open(element);
    out.text("OrganId", &organ.id);
    out.text("OrganName", &organ.name);
    out.close(element);
}

fn response_for(out: &mut Writer, response: &ResponseFor) {
    out.open("ResponseFor");
    out.text("OrganId", &response.organ_id);
    out.text("Code", &response.code);
    out.optional("PromulgationDate", &slashed(&response.promulgated_on));
    out.text("DocumentId", &response.document_id);
    out.close("ResponseFor");
}

fn trace_list(out: &mut Writer, document: &Document, at: Timestamp) {
    out.open("TraceHeaderList");
    out.raw(&trace_header("edXML:", &document.from.id, at));
    business(out, &document.business);
    out.close("TraceHeaderList");
}

/// One TraceHeader with the prefix that its neighbours have.
pub(super) fn trace_header(prefix: &str, organ_id: &str, at: Timestamp) -> String {
    format!(
        "<{prefix}TraceHeader><{prefix}OrganId>{}</{prefix}OrganId><{prefix}Timestamp>{}</{prefix}Timestamp></{prefix}TraceHeader>",
        escape(organ_id),
        local_time_text(at)
    )
}

fn business(out: &mut Writer, business: &Business) {
    out.open("Bussiness");
    out.text("BussinessDocType", &business.kind.number().to_string());
    out.optional("BussinessDocReason", &business.reason);
    match business.kind {
        BusinessKind::New | BusinessKind::Recall => {}
        BusinessKind::Update => out.text("DocumentId", &business.document_id),
        BusinessKind::Replace => {
            out.open("ReplacementInfoList");
            for replaced in &business.replaced {
                out.open("ReplacementInfo");
                out.text("DocumentId", replaced);
                out.close("ReplacementInfo");
            }
            out.close("ReplacementInfoList");
        }
    }
    out.close("Bussiness");
}

fn described(out: &mut Writer, index: usize, file: &Attachment) {
    out.text("ContentType", &file.content_type);
    out.text("ContentId", &format!("cid:{}", index + 1));
    out.text("Description", &file.description);
    out.text("AttachmentName", &file.name);
}

struct Writer {
    out: String,
}

impl Writer {
    fn begin() -> Self {
        let out = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<edXML:edXML xmlns:edXML=\"{NAMESPACE}\">");
        Self { out }
    }

    fn open(&mut self, name: &str) {
        self.raw(&format!("<edXML:{name}>"));
    }

    fn close(&mut self, name: &str) {
        self.raw(&format!("</edXML:{name}>"));
    }

    fn text(&mut self, name: &str, text: &str) {
        self.open(name);
        self.raw(&escape(text));
        self.close(name);
    }

    fn optional(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.text(name, text);
        }
    }

    fn raw(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn finish(mut self) -> Vec<u8> {
        self.raw("</edXML:edXML>\n");
        self.out.into_bytes()
    }
}
