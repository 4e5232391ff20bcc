//! What is wrong with a package: one stable code a defect, each said in Vietnamese and English with the next step.

use std::fmt;

use gateway_model::language::Language;

/// A defect and where it was seen.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{defect} at {place}")]
pub struct Fault {
    /// Which.
    pub defect: Defect,
    /// The element, the byte or the bound: never a value of the package.
    pub place: String,
}

impl Fault {
    /// A defect seen at `place`.
    pub fn new(defect: Defect, place: impl Into<String>) -> Self {
        Self { defect, place: place.into() }
    }

    /// The file that lies beside a package in quarantine.
    pub fn report(&self) -> String {
        let line = |language| self.defect.message(language);
        format!(
            "{}\n{}\n\nTiếng Việt: {}\n\nEnglish: {}\n",
            self.defect,
            self.place,
            line(Language::Vi),
            line(Language::En)
        )
    }
}

macro_rules! defects {
    ($($(#[$doc:meta])* $name:ident = ($code:literal, $vi:literal, $en:literal),)*) => {
        /// A stable code for what keeps a package from being taken.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Defect {
            $($(#[$doc])* $name,)*
        }

        impl Defect {
            /// Every defect.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as it stands in answers, logs and reason files.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What is wrong and what to do, for a person.
            pub fn message(self, language: Language) -> &'static str {
                match (self, language) {
                    $((Self::$name, Language::Vi) => $vi, (Self::$name, Language::En) => $en,)*
                }
            }
        }
    };
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

defects! {
    /// More bytes than the bound.
    PackageTooLarge = ("EDXML_TOO_LARGE",
        "Gói tin lớn hơn mức cho phép. Hãy tách tệp đính kèm hoặc gửi theo nhiều văn bản.",
        "The package is larger than the bound. Split the attachments or send several documents."),
    /// Not UTF-8, or declared as something else.
    EncodingUnsupported = ("EDXML_ENCODING_UNSUPPORTED",
        "Gói tin không ở bảng mã UTF-8. Hãy xuất lại gói tin bằng UTF-8.",
        "The package is not in UTF-8. Export it again in UTF-8."),
    /// Bytes before the declaration or after the root.
    StrayBytes = ("EDXML_STRAY_BYTES",
        "Có byte thừa trước khai báo XML hoặc sau phần tử gốc. Hãy sửa phần mềm tạo gói tin.",
        "There are stray bytes before the XML declaration or after the root. Mend the program that makes the package."),
    /// Not well-formed XML.
    NotWellFormed = ("EDXML_NOT_WELL_FORMED",
        "Gói tin không phải XML đúng cú pháp. Hãy xuất lại gói tin.",
        "The package is not well-formed XML. Export it again."),
    /// A DTD.
    Doctype = ("EDXML_DOCTYPE",
        "Gói tin có khai báo DOCTYPE; trục liên thông không nhận DTD. Hãy bỏ khai báo này.",
        "The package has a DOCTYPE; no DTD is taken. Leave the declaration out."),
    /// An entity besides the five of XML.
    EntityUnknown = ("EDXML_ENTITY_UNKNOWN",
        "Gói tin dùng thực thể ngoài năm thực thể của XML. Hãy thay bằng ký tự UTF-8.",
        "The package uses an entity besides the five of XML. Write the character in UTF-8."),
    /// Elements in elements beyond the bound.
    TooDeep = ("EDXML_TOO_DEEP",
        "Các phần tử lồng nhau quá sâu. Đây không phải gói tin edXML thông thường.",
        "Elements are nested too deeply. This is no usual edXML package."),
    /// More elements than the bound.
    TooManyElements = ("EDXML_TOO_MANY_ELEMENTS",
        "Gói tin có quá nhiều phần tử. Hãy tách thành nhiều gói tin.",
        "The package has too many elements. Split it into several."),
    /// More attributes on one element than the bound.
    TooManyAttributes = ("EDXML_TOO_MANY_ATTRIBUTES",
        "Một phần tử có quá nhiều thuộc tính. Đây không phải gói tin edXML thông thường.",
        "An element has too many attributes. This is no usual edXML package."),
    /// A text beyond the bound.
    TextTooLong = ("EDXML_TEXT_TOO_LONG",
        "Nội dung của một phần tử dài quá mức cho phép. Hãy rút ngắn hoặc chuyển vào tệp đính kèm.",
        "The text of an element is too long. Shorten it or put it into an attachment."),
    /// A prefix without its declaration, such as `xlink:href` without `xmlns:xlink`.
    PrefixUnbound = ("EDXML_PREFIX_UNBOUND",
        "Có tiền tố không gian tên chưa khai báo (ví dụ xlink:href thiếu xmlns:xlink). Hãy khai báo tiền tố.",
        "A namespace prefix is not declared (such as xlink:href without xmlns:xlink). Declare the prefix."),
    /// The elements of edXML in another namespace.
    NamespaceWrong = ("EDXML_NAMESPACE_WRONG",
        "Các phần tử edXML nằm sai không gian tên. Hãy dùng http://www.mic.gov.vn/TBT/QCVN_102_2016.",
        "The elements of edXML are in a wrong namespace. Use http://www.mic.gov.vn/TBT/QCVN_102_2016."),
    /// Some other XML.
    NotEdxml = ("EDXML_NOT_EDXML",
        "Tệp XML không có tiêu đề của gói tin edXML. Hãy kiểm tra lại tệp.",
        "The XML has no header of an edXML package. Check the file."),
    /// The SOAP form that came before 2016.
    SoapForm = ("EDXML_SOAP_FORM",
        "Gói tin ở dạng SOAP trước năm 2016 nên không nhận. Hãy xuất lại theo QCVN 102:2016/BTTTT.",
        "The package is in the SOAP form from before 2016, which is not taken. Export it by QCVN 102:2016/BTTTT."),
    /// A required element is missing or empty.
    FieldMissing = ("EDXML_FIELD_MISSING",
        "Thiếu một phần tử bắt buộc. Hãy bổ sung phần tử được nêu.",
        "A required element is missing. Add the element named."),
    /// An element that may stand once stands twice.
    FieldRepeated = ("EDXML_FIELD_REPEATED",
        "Một phần tử chỉ được xuất hiện một lần lại xuất hiện nhiều lần. Hãy bỏ phần tử thừa.",
        "An element that may stand once stands twice. Leave one out."),
    /// An agency code that no directory can hold.
    CodeInvalid = ("EDXML_CODE_INVALID",
        "Mã định danh cơ quan không hợp lệ. Hãy dùng mã có trong danh bạ.",
        "An agency code cannot be one. Use a code of the directory."),
    /// A day that is none, such as 30 February.
    DateImpossible = ("EDXML_DATE_IMPOSSIBLE",
        "Ngày tháng không có thật hoặc không ở dạng yyyy/MM/dd. Hãy sửa ngày được nêu.",
        "A date does not exist or is not written yyyy/MM/dd. Correct the date named."),
    /// A value outside of the standard's list.
    ValueUnknown = ("EDXML_VALUE_UNKNOWN",
        "Giá trị nằm ngoài danh mục của quy chuẩn. Hãy sửa phần tử được nêu.",
        "A value is outside of the standard's list. Correct the element named."),
    /// No recipient.
    RecipientMissing = ("EDXML_RECIPIENT_MISSING",
        "Gói tin không có nơi nhận. Hãy ghi ít nhất một phần tử To.",
        "The package has no recipient. Name at least one in To."),
    /// More recipients than the bound.
    TooManyRecipients = ("EDXML_TOO_MANY_RECIPIENTS",
        "Gói tin có quá nhiều nơi nhận. Hãy tách thành nhiều lần gửi.",
        "The package has too many recipients. Send it in several goes."),
    /// More attachments than the bound.
    TooManyAttachments = ("EDXML_TOO_MANY_ATTACHMENTS",
        "Gói tin có quá nhiều tệp đính kèm. Hãy tách thành nhiều văn bản.",
        "The package has too many attachments. Split it into several documents."),
    /// The manifest names an attachment that is not there.
    AttachmentMissing = ("EDXML_ATTACHMENT_MISSING",
        "Danh sách tệp đính kèm nêu một tệp không có trong gói tin. Hãy đính kèm đủ tệp.",
        "The manifest names an attachment that is not in the package. Attach every file."),
    /// Two attachments under one ContentId.
    AttachmentRepeated = ("EDXML_ATTACHMENT_REPEATED",
        "Hai tệp đính kèm có cùng ContentId. Mỗi tệp cần một ContentId riêng.",
        "Two attachments have one ContentId. Each needs its own."),
    /// Text that is not base64.
    BaseInvalid = ("EDXML_BASE64_INVALID",
        "Nội dung tệp đính kèm không phải base64. Hãy xuất lại gói tin.",
        "The content of an attachment is not base64. Export the package again."),
    /// A wrapping ZIP with other than one entry.
    ArchiveManyEntries = ("EDXML_ARCHIVE_MANY_ENTRIES",
        "Tệp ZIP bọc tệp đính kèm phải có đúng một tệp bên trong. Hãy nén từng tệp riêng.",
        "The ZIP around an attachment must hold exactly one file. Wrap each file by itself."),
    /// A wrapping ZIP whose entry has a path or is no file.
    ArchivePath = ("EDXML_ARCHIVE_PATH",
        "Tên tệp trong ZIP có đường dẫn hoặc không phải tệp thường. Hãy nén tệp không kèm thư mục.",
        "The entry of the ZIP has a path or is no plain file. Zip the file without folders."),
    /// A wrapping ZIP whose entry has another extension than the attachment.
    ArchiveNameMismatch = ("EDXML_ARCHIVE_NAME_MISMATCH",
        "Phần mở rộng của tệp trong ZIP khác với AttachmentName. Hãy đặt hai tên khớp nhau.",
        "The entry of the ZIP has another extension than AttachmentName. Let the two agree."),
    /// A ZIP that cannot be read.
    ArchiveBroken = ("EDXML_ARCHIVE_BROKEN",
        "Tệp ZIP của tệp đính kèm bị hỏng hoặc có mật khẩu. Hãy nén lại.",
        "The ZIP of an attachment is broken or has a password. Zip it again."),
    /// A ZIP that would become too large.
    ArchiveBomb = ("EDXML_ARCHIVE_BOMB",
        "Tệp ZIP bung ra quá lớn so với kích thước nén. Gói tin bị giữ lại để kiểm tra.",
        "The ZIP unpacks to far more than its size. The package is kept for inspection."),
    /// A mark of secrecy.
    SecrecyMark = ("EDXML_SECRECY_MARK",
        "Văn bản có dấu chỉ độ mật. Tài liệu mật không được gửi qua hệ thống này; hãy gửi theo quy định về bảo vệ bí mật nhà nước.",
        "The document bears a mark of secrecy. Classified papers do not travel here; send it as the law on state secrets says."),
    /// The sender is no agency of this system.
    SenderForeign = ("EDXML_SENDER_FOREIGN",
        "Cơ quan gửi không thuộc hệ thống này. Hãy gửi bằng mã của cơ quan mình.",
        "The sender is no agency of this system. Send under your own agency's code."),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_defect_has_its_own_code_and_says_two_different_things() {
        let codes: std::collections::BTreeSet<&str> = Defect::ALL.iter().map(|defect| defect.code()).collect();
        assert_eq!(codes.len(), Defect::ALL.len());
        for defect in Defect::ALL {
            assert!(defect.code().starts_with("EDXML_"), "{defect}");
            assert_ne!(defect.message(Language::Vi), defect.message(Language::En), "{defect}");
            let report = Fault::new(*defect, "To/OrganId").report();
            assert!(report.starts_with(defect.code()) && report.contains("To/OrganId"), "{report}");
        }
    }
}
