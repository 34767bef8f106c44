//! Closed lists of names, each with a sentence: what a simulation can plant, and what it counts.

/// Makes an enum of a list. Its documentation is its sentence, so the two cannot differ.
macro_rules! named {
    ($(#[$about:meta])* enum $List:ident; $($(#[doc = $sentence:literal])+ $name:ident,)+) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $List {
            $($(#[doc = $sentence])+ $name,)+
        }

        impl $List {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// What it is, in one sentence.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($sentence),+).trim_ascii(),)+
                }
            }
        }
    };
}

pub(crate) use named;
