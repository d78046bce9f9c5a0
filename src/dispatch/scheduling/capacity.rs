//! [`Capacity`]: how many slots there are, and how many each class holds.

use super::class::Class;

/// How many slots there are, and how many each class holds.
#[derive(Debug)]
pub(super) struct Capacity {
    slots: u32,
    held: u32,
    slow: u32,
    unanswering: u32,
}

impl Capacity {
    pub(super) const fn new(slots: u32) -> Self {
        Self { slots, held: 0, slow: 0, unanswering: 0 }
    }

    pub(super) const fn set_slots(&mut self, slots: u32) {
        self.slots = slots;
    }

    /// Whether an endpoint of this class may have one more slot, where one is free.
    pub(super) fn admits(&self, class: Class) -> bool {
        let kept = match class {
            Class::Fast => return true,
            Class::Slow | Class::Silent => self.newcomers(),
            Class::Unknown => self.newcomers() / 2,
            Class::Fresh => 0,
        };
        let is_among_unanswering = class == Class::Slow || self.unanswering + kept < self.quarter();
        // Fast endpoints keep a quarter for themselves.
        is_among_unanswering && self.slow + self.unanswering + kept < self.slots - self.slots / 4
    }

    /// How many slots are free.
    pub(super) const fn free(&self) -> u32 {
        self.slots.saturating_sub(self.held)
    }

    pub(super) const fn slots(&self) -> u32 {
        self.slots
    }

    /// Whether half of the slots are held, so that the next ones go to those whose turn it is.
    pub(super) const fn is_scarce(&self) -> bool {
        self.held >= self.slots / 2
    }

    /// How many slots are free for endpoints that are tried for the first time.
    pub(super) fn free_for_newcomers(&self) -> u32 {
        self.quarter().saturating_sub(self.unanswering)
    }

    pub(super) fn take(&mut self, class: Class, slots: u32) {
        self.held += slots;
        if let Some(held) = self.held_by(class) {
            *held += slots;
        }
    }

    pub(super) fn give_back(&mut self, class: Class, slots: u32) {
        self.held = self.held.saturating_sub(slots);
        if let Some(held) = self.held_by(class) {
            *held = held.saturating_sub(slots);
        }
    }

    const fn held_by(&mut self, class: Class) -> Option<&mut u32> {
        match class {
            Class::Fast => None,
            Class::Slow => Some(&mut self.slow),
            Class::Fresh | Class::Unknown | Class::Silent => Some(&mut self.unanswering),
        }
    }

    /// The most slots of endpoints that do not answer.
    fn quarter(&self) -> u32 {
        (self.slots / 4).max(1)
    }

    /// The slots of that quarter that are kept for endpoints that are tried for the first time.
    fn newcomers(&self) -> u32 {
        self.quarter() / 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many slots a class gets when it takes all that it may.
    fn filled(capacity: &mut Capacity, class: Class) -> u32 {
        let mut slots = 0;
        while slots < 1_000 && capacity.admits(class) {
            capacity.take(class, 1);
            slots += 1;
        }
        slots
    }

    #[test]
    fn each_class_leaves_room_for_those_before_it() {
        let mut capacity = Capacity::new(256);
        assert_eq!(filled(&mut capacity, Class::Silent), 48);
        assert_eq!(filled(&mut capacity, Class::Unknown), 8);
        assert_eq!(filled(&mut capacity, Class::Fresh), 8);
        assert_eq!(
            filled(&mut capacity, Class::Slow),
            112,
            "with those, three quarters and not the room kept"
        );
        assert!(capacity.admits(Class::Fast));
        let mut capacity = Capacity::new(256);
        assert_eq!(filled(&mut capacity, Class::Slow), 176);
        assert_eq!(filled(&mut capacity, Class::Fresh), 16, "slow endpoints leave room for new ones");
    }

    #[test]
    fn every_class_has_a_slot_where_there_are_few() {
        for slots in 1..10 {
            for class in [Class::Slow, Class::Fresh, Class::Unknown, Class::Silent] {
                let mut capacity = Capacity::new(slots);
                assert!((1..=slots).contains(&filled(&mut capacity, class)), "{class:?} of {slots}");
            }
        }
    }
}
