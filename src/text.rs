//! `stored_as_text!`: the one text of an enum, for stores, logs and configuration files.

/// Implements `Display`, `FromStr`, `Serialize` and `Deserialize` by the text of `as_str`, for an enum that
/// has `as_str` and lists its values in `ALL`.
macro_rules! stored_as_text {
    ($name:ident, $noun:literal, $kind:expr) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::error::Error;

            #[doc = concat!("Reads the text that [`as_str`](", stringify!($name), "::as_str) gives.")]
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|known| known.as_str()).collect();
                    crate::error::Error::new($kind, concat!($noun, " is not known"))
                        .with_expected(format!("one of {}", known.join(", ")))
                })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use stored_as_text;
