//! The words of the API's documents: names from the core and the shapes of common values, as the schema tells them.

use std::borrow::Cow;

use mpc_wallet_core::{
    Scheme,
    overview::{MemberStatus, StandingView},
    tx::State as TxState,
};
use serde::{Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

macro_rules! names {
    ($(#[doc = $doc:literal] $schema:ident($of:ty) = $all:expr;)+) => {$(
        #[doc = $doc]
        #[derive(Clone, Copy)]
        pub(super) struct $schema(pub(super) $of);

        impl Serialize for $schema {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0.name())
            }
        }

        impl PartialSchema for $schema {
            fn schema() -> RefOr<Schema> {
                let names = $all.map(<$of>::name);
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
            }
        }

        impl ToSchema for $schema {
            fn name() -> Cow<'static, str> {
                stringify!($schema).into()
            }
        }
    )+};
}

names! {
    /// Where a payment stands.
    StateName(TxState) = TxState::ALL;
    /// A kind of wallet.
    WalletType(Scheme) = Scheme::ALL;
    /// How a member is doing.
    MemberStatusName(MemberStatus) =
        [MemberStatus::Online, MemberStatus::Offline, MemberStatus::Degraded, MemberStatus::Banned];
    /// Whether a node takes part.
    StandingName(StandingView) = [
        StandingView::Sound,
        StandingView::Confirming { told: 0, needed: 0 },
        StandingView::Quarantined { told: 0, needed: 0 },
    ];
}

/// One page of a list, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// At most `limit` of them.
    pub(super) items: Vec<T>,
    /// Give it as `cursor` for what follows; `null` at the end.
    #[schema(required)]
    pub(super) next_cursor: Option<String>,
}

/// Where to find the thing again.
#[derive(Serialize, ToSchema)]
pub(super) struct Links {
    /// Its path.
    #[serde(rename = "self")]
    pub(super) this: String,
}
