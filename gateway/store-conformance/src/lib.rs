//! One suite of behaviours that every Store has to show.
