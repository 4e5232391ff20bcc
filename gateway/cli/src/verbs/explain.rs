//! `lienthong explain`: what a reason code, or a finding of a store check, means and what to do.

use clap::Args;
use gateway_model::Reason;
use gateway_model::language::Language;
use gateway_server::app::offline::FindingCode;

use crate::exit::Exit;
use crate::{errln, outln};

/// Explains a reason code, or a finding of `lienthong store check`.
#[derive(Args, Debug)]
pub struct Explain {
    /// The code, such as CERTIFICATE_EXPIRED; without one, every code with its sentence.
    pub code: Option<String>,
}

impl Explain {
    /// Prints the page, or the list.
    ///
    /// # Errors
    /// None; an unknown code ends with [`Exit::NotFound`].
    pub fn run(self, language: Language) -> anyhow::Result<Exit> {
        let Some(code) = self.code else {
            for reason in Reason::ALL {
                outln!("{:<32} {}", reason.code(), reason.message(language));
            }
            for finding in FindingCode::ALL {
                outln!("{:<32} {}", finding.code(), finding.message(language));
            }
            return Ok(Exit::Success);
        };
        let named = code.to_ascii_uppercase();
        if let Some(reason) = Reason::parse(&named) {
            outln!("{}", reason.page().trim_end());
        } else if let Some(finding) = FindingCode::ALL.into_iter().find(|finding| finding.code() == named) {
            outln!("{named}\n\n{}\n{}", finding.message(language), finding.next_step(language));
        } else {
            errln!("lienthong: there is no reason code {code}; `lienthong explain` lists them");
            return Ok(Exit::NotFound);
        }
        Ok(Exit::Success)
    }
}
