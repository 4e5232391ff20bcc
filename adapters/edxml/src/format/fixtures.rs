//! Packages as different producers write them, with invented people and numbers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A file for attachments.
pub(crate) const PDF: &[u8] =
    b"%PDF-1.7 to trinh ve viec sua duong An Phu, ban ky so, nhieu dong de vuot qua mot dong base64";

/// The sample of the regulation: two prefixes for one namespace, a raw file, an empty signature.
pub(crate) fn standard() -> String {
    package(&Parts { attachment: &STANDARD.encode(PDF), ..Parts::new() })
}

/// Everything that a test may want to differ.
pub(crate) struct Parts<'a> {
    pub from: &'a str,
    pub to: &'a [&'a str],
    pub document_id: &'a str,
    pub date: &'a str,
    pub header: &'a str,
    pub business: &'a str,
    pub reference: &'a str,
    pub attachment_id: &'a str,
    pub name: &'a str,
    pub attachment: &'a str,
}

impl Parts<'_> {
    pub(crate) fn new() -> Self {
        Self {
            from: "H99.30.01",
            to: &["H99.12", "000.00.00.H99"],
            document_id: "H99.30.01,2026/11/20,15/TTr-UBND",
            date: "2026/11/20",
            header: "",
            business: "",
            reference: "<edXML:ContentId>cid:tep-1</edXML:ContentId>",
            attachment_id: "tep-1",
            name: "Tờ trình 15.pdf",
            attachment: "",
        }
    }
}

/// A package in the regulation's layout.
pub(crate) fn package(parts: &Parts<'_>) -> String {
    let to: String = parts
        .to
        .iter()
        .map(|code| {
            format!(
                "<edXML:To><edXML:OrganId>{code}</edXML:OrganId><edXML:OrganName>Nơi nhận</edXML:OrganName></edXML:To>"
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<edXML xmlns=\"http://www.mic.gov.vn/TBT/QCVN_102_2016\">\n\
         <edXML:edXMLEnvelope xmlns:edXML=\"http://www.mic.gov.vn/TBT/QCVN_102_2016\"><edXML:edXMLHeader>\n\
         <edXML:MessageHeader><edXML:From><edXML:OrganId>{from}</edXML:OrganId><edXML:OrganName>UBND xã An Phú</edXML:OrganName></edXML:From>{to}\
         <edXML:DocumentId>{id}</edXML:DocumentId><edXML:Code><edXML:CodeNumber>15</edXML:CodeNumber><edXML:CodeNotation>TTr-UBND</edXML:CodeNotation></edXML:Code>\
         <edXML:PromulgationInfo><edXML:Place>An Phú</edXML:Place><edXML:PromulgationDate>{date}</edXML:PromulgationDate></edXML:PromulgationInfo>\
         <edXML:DocumentType><edXML:Type>2</edXML:Type><edXML:TypeName>Tờ trình</edXML:TypeName></edXML:DocumentType>\
         <edXML:Subject>Về việc sửa đường &amp; cầu An Phú</edXML:Subject>{header}\
         <edXML:OtherInfo><edXML:Priority>2</edXML:Priority></edXML:OtherInfo></edXML:MessageHeader>\n\
         <edXML:TraceHeaderList><edXML:TraceHeader><edXML:OrganId>{from}</edXML:OrganId><edXML:Timestamp>2026/11/20 08:30:00</edXML:Timestamp></edXML:TraceHeader>{business}</edXML:TraceHeaderList>\n\
         <Signature><SignedInfo/></Signature></edXML:edXMLHeader>\n\
         <edXML:edXMLBody><edXML:edXMLManifest version=\"1.0\"><edXML:Reference>{reference}<edXML:AttachmentName>{name}</edXML:AttachmentName></edXML:Reference></edXML:edXMLManifest></edXML:edXMLBody>\n\
         </edXML:edXMLEnvelope>\n\
         <AttachmentEncoded><Attachment><ContentType>application/pdf</ContentType><ContentId>{attachment_id}</ContentId><Description>Tờ trình</Description><AttachmentName>{name}</AttachmentName><ContentTransferEncoded>{attachment}</ContentTransferEncoded></Attachment></AttachmentEncoded>\n\
         </edXML>\n",
        from = parts.from,
        id = parts.document_id,
        date = parts.date,
        header = parts.header,
        business = parts.business,
        reference = parts.reference,
        attachment_id = parts.attachment_id,
        name = parts.name,
        attachment = parts.attachment,
    )
}

/// The default namespace only, another root, children in another order, lines of 76 characters, a byte order mark.
pub(crate) fn other_order() -> String {
    let encoded = STANDARD.encode(PDF);
    let lines: Vec<&str> = encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!(
        "\u{feff}<?xml version=\"1.0\"?>\r\n<EdXMLEnvelope xmlns=\"http://www.mic.gov.vn/TBT/QCVN_102_2016\">\r\n\
         <AttachmentEncoded><Attachment><ContentTransferEncoded>\r\n{}\r\n</ContentTransferEncoded><AttachmentName>a.pdf</AttachmentName><ContentId>cid:1</ContentId></Attachment></AttachmentEncoded>\r\n\
         <Body><Manifest><Reference><ContentId>1</ContentId></Reference></Manifest></Body>\r\n\
         <Header><TraceHeaderList><Bussiness><BussinessDocType>0</BussinessDocType></Bussiness><TraceHeader><Timestamp>2026/11/20 09:00:00</Timestamp><OrganId>vxp.saas.03</OrganId></TraceHeader></TraceHeaderList>\r\n\
         <MessageHeader><Subject>Báo cáo tuần</Subject><DocumentId>5f0c7bd8-55a1-4f0e-9f0e-6f4f7e5b9d10</DocumentId>\r\n\
         <To><OrganName>Sở</OrganName><OrganId>000.00.12.H99</OrganId></To><From><OrganId>vxp.saas.03</OrganId></From></MessageHeader></Header>\r\n</EdXMLEnvelope>",
        lines.join("\r\n")
    )
}

/// A prefix of its own, `xlink:href`, and a ZIP around the file.
pub(crate) fn wrapped() -> String {
    let zip = zipped(&[("0b9e.pdf", PDF)]);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><q:EdXML xmlns:q=\"http://www.mic.gov.vn/TBT/QCVN_102_2016\" xmlns:xlink=\"http://www.w3.org/1999/xlink\">\
         <q:MessageHeader><q:From><q:OrganId>H99.30</q:OrganId></q:From><q:To><q:OrganId>H99.12</q:OrganId></q:To><q:DocumentId>a/b,c</q:DocumentId>\
         <q:ApplicationType>MCDT_DT</q:ApplicationType><q:DueDate>2026/12/01</q:DueDate><q:Code><q:CodeNumber>H99.30.01-261120-0007</q:CodeNumber></q:Code></q:MessageHeader>\
         <q:edXMLManifest><q:Reference xlink:href=\"cid:x\"><q:AttachmentName>Đơn.pdf</q:AttachmentName></q:Reference></q:edXMLManifest>\
         <q:AttachmentEncoded><q:Attachment><q:ContentId>cid:x</q:ContentId><q:ContentTransferEncoded>{}</q:ContentTransferEncoded></q:Attachment></q:AttachmentEncoded></q:EdXML>",
        STANDARD.encode(zip)
    )
}

/// A status about [`standard`].
pub(crate) fn status(code: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><edXML xmlns=\"http://www.mic.gov.vn/TBT/QCVN_102_2016\"><edXMLEnvelope><edXMLHeader><MessageHeader>\
         <From><OrganId>H99.12</OrganId><OrganName>Sở Xây dựng</OrganName></From>\
         <ResponseFor><OrganId>H99.30.01</OrganId><Code>15/TTr-UBND</Code><PromulgationDate>2026/11/20</PromulgationDate><DocumentId>H99.30.01,2026/11/20,15/TTr-UBND</DocumentId></ResponseFor>\
         <StaffInfo><Department>Văn phòng</Department><Staff>Trần Thị Mẫu</Staff></StaffInfo>\
         <StatusCode>{code}</StatusCode><Description>Đã tiếp nhận</Description><Timestamp>2026/11/20 09:15:00</Timestamp>\
         </MessageHeader></edXMLHeader></edXMLEnvelope></edXML>"
    )
}

/// A ZIP with these entries.
pub(crate) fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
    use std::io::Write as _;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}
