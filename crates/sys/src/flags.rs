//! Sets of flag bits as separate types, so that the flags of one call cannot be given to another.

/// Defines a set of bits with named members, `|` and the usual questions.
macro_rules! flag_set {
    ($(#[$doc:meta])* $name:ident: $bits:ty { $($(#[$member_doc:meta])* $member:ident = $value:expr;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name($bits);

        impl $name {
            $($(#[$member_doc])* pub const $member: $name = $name($value as $bits);)*

            /// No flag.
            #[must_use]
            pub const fn empty() -> $name {
                $name(0)
            }

            /// The bits as the kernel takes them.
            #[must_use]
            pub const fn bits(self) -> $bits {
                self.0
            }

            /// Whether all flags of `other` are set.
            #[must_use]
            pub const fn contains(self, other: $name) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether no flag is set.
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// Without the flags of `other`.
            #[must_use]
            pub const fn union(self, other: $name) -> $name {
                $name(self.0 | other.0)
            }

            /// These flags without the other ones.
            #[must_use]
            pub const fn without(self, other: $name) -> $name {
                $name(self.0 & !other.0)
            }
        }

        impl std::ops::BitOr for $name {
            type Output = $name;
            fn bitor(self, other: $name) -> $name {
                $name(self.0 | other.0)
            }
        }

        impl std::ops::BitOrAssign for $name {
            fn bitor_assign(&mut self, other: $name) {
                self.0 |= other.0;
            }
        }
    };
}

pub(crate) use flag_set;
