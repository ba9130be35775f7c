//! What a group cannot do is refused, and what was lost is never started anew quietly.
