//! `lienthong explain`: what a reason code means and what to do.

use clap::Args;
use gateway_model::Reason;
use gateway_model::language::Language;

use crate::exit::Exit;
use crate::{errln, outln};

/// Explains a reason code.
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
            return Ok(Exit::Success);
        };
        match Reason::parse(&code.to_ascii_uppercase()) {
            Some(reason) => {
                outln!("{}", reason.page().trim_end());
                Ok(Exit::Success)
            }
            None => {
                errln!("lienthong: there is no reason code {code}; `lienthong explain` lists them");
                Ok(Exit::NotFound)
            }
        }
    }
}
