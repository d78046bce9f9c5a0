//! [`catalogue!`](crate::catalogue), and a macro for enums of text that keep unknown values.

/// Defines a catalogue: an enum of event types that keeps the types it does not know.
///
/// Each variant has documentation, which becomes the type's description; the type's name; a sample; and a
/// struct that implements [`serde::Serialize`], [`serde::Deserialize`], [`Clone`], [`Debug`] and
/// [`PartialEq`]. A variant without a struct, `OrderPaid = ...`, holds the struct of its own name. That
/// struct becomes [`EventData`](crate::EventData), so that `Envelope::new(order_paid)` works. A variant such
/// as `Shipped(Parcel) = ...` may share its struct with others, so the struct is sent only inside the enum.
///
/// Behind the sample, `schema: ORDER` may name a [`DataSchema`](crate::event::DataSchema): the data that the
/// sender promises. Data that breaks it is refused when it is emitted. Without one, the promise is what the
/// struct reads.
///
/// The enum gets a last variant `Other(`[`RawEvent`](crate::RawEvent)`)` for every type that it does not
/// know, the constant `CATALOGUE` (a [`Catalogue`](crate::event::Catalogue)), `event_type()`, `samples()`,
/// and `From` for each struct that belongs to one type.
///
/// ```
/// use hookwire::{Contract, Envelope};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
/// pub struct OrderPaid { pub order_id: String, pub cents: u64 }
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
/// pub struct Parcel { pub parcel_id: String }
///
/// hookwire::catalogue! {
///     /// The events of the shop.
///     pub enum ShopEvent {
///         /// An order was paid in full.
///         OrderPaid = "order.paid", sample: OrderPaid { order_id: "o-1".into(), cents: 1999 };
///         /// A parcel left the warehouse.
///         Shipped(Parcel) = "parcel.shipped", sample: Parcel { parcel_id: "p-1".into() };
///         /// A parcel came back.
///         Returned(Parcel) = "parcel.returned", sample: Parcel { parcel_id: "p-1".into() };
///     }
/// }
///
/// let contract = Contract::standard_webhooks().with_catalogue(ShopEvent::CATALOGUE);
/// let paid = OrderPaid { order_id: "o-7".into(), cents: 500 };
/// let body = contract.encode(&Envelope::new(paid))?;
/// assert!(contract.catalogue().find("parcel.shipped").is_some());
/// # Ok::<(), hookwire::Error>(())
/// ```
#[macro_export]
macro_rules! catalogue {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $variant:ident $(($payload:ty))? =
                    $event_type:literal, sample: $sample:expr $(, schema: $schema:expr)?;
            )+
        }
    ) => {
        $(#[$meta])*
        // An event is read, matched and dropped, so boxing a large one would cost more than moving it.
        #[allow(clippy::large_enum_variant)]
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        $vis enum $name {
            $(
                $(#[doc = $doc])+
                $variant($crate::__catalogue_payload!($variant $(, $payload)?)),
            )+
            /// An event of a type that this catalogue does not know, as it was received.
            Other($crate::RawEvent),
        }

        impl $name {
            /// The types of this catalogue, for run time.
            pub const CATALOGUE: $crate::event::Catalogue = $crate::event::Catalogue::new(&[
                $($crate::event::EventKind::new(
                    $event_type,
                    concat!($($doc),+),
                    || $crate::__private::sample::<Self>(&Self::$variant($sample)),
                    |data| $crate::DataError::check::<Self>($event_type, data),
                )$(.with_schema($schema))?),+
            ]);

            /// The name of the event's type.
            pub fn event_type(&self) -> &str {
                match self {
                    $(Self::$variant(_) => $event_type,)+
                    Self::Other(other) => other.event_type(),
                }
            }

            /// One sample event of each type, in the order of their definition.
            pub fn samples() -> impl ::core::iter::Iterator<Item = Self> {
                let samples: [fn() -> Self; <[&str]>::len(&[$($event_type),+])] = [$(|| Self::$variant($sample)),+];
                ::core::iter::IntoIterator::into_iter(samples).map(|sample| sample())
            }
        }

        impl $crate::EventData for $name {
            fn event_type(&self) -> &str {
                self.event_type()
            }

            fn accepts(_event_type: &str) -> bool {
                true
            }

            fn is_raw(&self) -> bool {
                ::core::matches!(self, Self::Other(_))
            }

            fn serialize_data<S: $crate::__private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                match self {
                    $(Self::$variant(data) => $crate::__private::serde::Serialize::serialize(data, serializer),)+
                    Self::Other(other) => $crate::EventData::serialize_data(other, serializer),
                }
            }

            fn deserialize_data<'de, D: $crate::__private::serde::Deserializer<'de>>(
                event_type: &str,
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                match event_type {
                    $($event_type => {
                        $crate::__private::serde::Deserialize::deserialize(deserializer).map(Self::$variant)
                    })+
                    _ => $crate::RawEvent::deserialize(event_type, deserializer).map(Self::Other),
                }
            }
        }

        $($crate::__catalogue_own!($name, $event_type, $variant $(, $payload)?);)+
    };
}

/// The struct that a variant holds: the struct of its own name, or the given one.
#[doc(hidden)]
#[macro_export]
macro_rules! __catalogue_payload {
    ($variant:ident) => {
        $variant
    };
    ($variant:ident, $payload:ty) => {
        $payload
    };
}

/// Implements `EventData` for a struct that belongs to one type alone.
#[doc(hidden)]
#[macro_export]
macro_rules! __catalogue_own {
    ($name:ident, $event_type:literal, $variant:ident, $payload:ty) => {};
    ($name:ident, $event_type:literal, $variant:ident) => {
        impl $crate::EventData for $variant {
            fn event_type(&self) -> &str {
                $event_type
            }

            fn accepts(event_type: &str) -> bool {
                event_type == $event_type
            }

            fn serialize_data<S: $crate::__private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                $crate::__private::serde::Serialize::serialize(self, serializer)
            }

            fn deserialize_data<'de, D: $crate::__private::serde::Deserializer<'de>>(
                _event_type: &str,
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                $crate::__private::serde::Deserialize::deserialize(deserializer)
            }
        }

        impl ::core::convert::From<$variant> for $name {
            fn from(data: $variant) -> Self {
                Self::$variant(data)
            }
        }
    };
}

/// Defines an enum of text values. It keeps the values that it does not know, and writes them back unchanged.
macro_rules! open_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
            /// A value that this version does not know, as it was received. Use `From` to make one, which
            /// recognizes the known values.
            Other(String),
        }

        impl $name {
            /// The value, as JSON has it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(value) => value,
                }
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                match value {
                    $($text => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("text")
                    }

                    fn visit_str<E>(self, value: &str) -> Result<$name, E> {
                        Ok($name::from(value))
                    }
                }

                deserializer.deserialize_str(Visitor)
            }
        }
    };
}

pub(crate) use open_enum;
