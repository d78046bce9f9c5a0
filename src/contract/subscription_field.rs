//! [`SubscriptionField`]: a field that only one platform's subscriptions have.

/// A field that one platform's subscriptions have beside the fields of every subscription, such as
/// `allo_number`.
///
/// Management reads the field where somebody makes or changes a subscription, checks its value, and turns it
/// into a part of the subscription's [filter](crate::EventFilter): the patterns of event types, or the values
/// of a routing attribute.
///
/// ```
/// use hookwire::contract::SubscriptionField;
/// use hookwire::Contract;
///
/// const FIELDS: &[SubscriptionField] = &[
///     SubscriptionField::list("shops", "shop", "The shops whose orders are sent."),
///     SubscriptionField::text("region", "region", "The region of those shops.")
///         .with_check(|region| region.len() == 2, "two letters")
///         .with_example("eu"),
/// ];
/// let contract = Contract::standard_webhooks().with_subscription_fields(FIELDS);
/// assert_eq!(contract.subscription_fields()[0].name(), "shops");
/// assert!(contract.subscription_fields()[1].accepts("eu"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionField {
    name: &'static str,
    target: FieldTarget,
    description: &'static str,
    check: Option<fn(&str) -> bool>,
    expected: &'static str,
    example: &'static str,
    pattern: Option<&'static str>,
}

impl SubscriptionField {
    /// A field `name` that is another name of `events`.
    ///
    /// # Panics
    ///
    /// When the name is not in snake case. In a constant the compiler reports it.
    pub const fn events(name: &'static str, description: &'static str) -> Self {
        Self::new(name, FieldTarget::Events, description)
    }

    /// A field `name` that holds one text, the value of the routing attribute `attribute`.
    ///
    /// # Panics
    ///
    /// When the name is not in snake case, or the attribute has no name. In a constant the compiler reports
    /// it.
    pub const fn text(name: &'static str, attribute: &'static str, description: &'static str) -> Self {
        Self::new(name, FieldTarget::Text(attribute), description)
    }

    /// A field `name` that holds a list of texts, the values of the routing attribute `attribute`.
    ///
    /// # Panics
    ///
    /// When the name is not in snake case, or the attribute has no name. In a constant the compiler reports
    /// it.
    pub const fn list(name: &'static str, attribute: &'static str, description: &'static str) -> Self {
        Self::new(name, FieldTarget::List(attribute), description)
    }

    const fn new(name: &'static str, target: FieldTarget, description: &'static str) -> Self {
        assert!(is_snake_case(name), "the name of a subscription's field is not in snake case");
        if let FieldTarget::Text(attribute) | FieldTarget::List(attribute) = target {
            assert!(!attribute.is_empty(), "the routing attribute has no name");
        }
        Self { name, target, description, check: None, expected: "text", example: "text", pattern: None }
    }

    /// Sets the check of each text, and the words that say what passes it, to follow "expected" in an error.
    pub const fn with_check(mut self, check: fn(&str) -> bool, expected: &'static str) -> Self {
        self.check = Some(check);
        self.expected = expected;
        self
    }

    /// Sets a text that passes the check, for the OpenAPI document.
    pub const fn with_example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    /// Sets a regular expression (ECMA-262) of the texts that pass the check, for the OpenAPI document.
    pub const fn with_pattern(mut self, pattern: &'static str) -> Self {
        self.pattern = Some(pattern);
        self
    }

    /// The name of the field, as clients write it.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The part of the subscription that the field's value turns into.
    pub const fn target(&self) -> FieldTarget {
        self.target
    }

    /// The meaning of the field, in one sentence.
    pub const fn description(&self) -> &'static str {
        self.description
    }

    /// Whether `text` may stand in the field: it is not empty, and passes the [check](Self::with_check) if
    /// there is one.
    pub fn accepts(&self, text: &str) -> bool {
        !text.is_empty() && self.check.is_none_or(|check| check(text))
    }

    /// The words that say which texts pass.
    pub const fn expected(&self) -> &'static str {
        self.expected
    }

    /// The regular expression of the texts that pass, if there is one.
    pub const fn pattern(&self) -> Option<&'static str> {
        self.pattern
    }

    /// A text that passes.
    pub const fn example(&self) -> &'static str {
        self.example
    }
}

/// The part of a subscription that a [`SubscriptionField`]'s value turns into.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FieldTarget {
    /// The patterns of event types: the field is another name of `events`.
    Events,
    /// The one value of this routing attribute.
    Text(&'static str),
    /// The values of this routing attribute, of which an event has to have one.
    List(&'static str),
}

impl FieldTarget {
    /// The routing attribute that the value goes to, if it goes to one.
    pub const fn attribute(self) -> Option<&'static str> {
        match self {
            Self::Events => None,
            Self::Text(attribute) | Self::List(attribute) => Some(attribute),
        }
    }
}

const fn is_snake_case(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'_') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}
