//! [`Class`]: how much of the capacity an endpoint may have.

/// How much of the capacity an endpoint may have, by what this process knows of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Class {
    /// It answers, and holds slots for a short time.
    Fast,
    /// It answers, and holds slots for a long time.
    Slow,
    /// It was not tried yet, and may use the room that is kept for such endpoints.
    Fresh,
    /// It was not tried yet.
    Unknown,
    /// It did not answer.
    Silent,
}

/// Classes whose slots are counted together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Group {
    Answering,
    Unanswering,
}

impl Class {
    pub(super) const COUNT: usize = 5;

    pub(super) const fn group(self) -> Group {
        match self {
            Self::Fast | Self::Slow => Group::Answering,
            Self::Fresh | Self::Unknown | Self::Silent => Group::Unanswering,
        }
    }
}

impl Group {
    pub(super) const COUNT: usize = 2;

    pub(super) const fn classes(self) -> &'static [Class] {
        match self {
            Self::Answering => &[Class::Fast, Class::Slow],
            Self::Unanswering => &[Class::Fresh, Class::Unknown, Class::Silent],
        }
    }
}
