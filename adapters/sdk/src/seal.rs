//! Sealing: signing an envelope for a system that cannot sign, with the agency's key.
