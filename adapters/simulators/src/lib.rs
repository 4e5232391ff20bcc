//! Other organisations' systems, as they behave in the field.
