"""The error for what a person declared or asked for. It fails at once: only a change mends it."""


class DomainError(ValueError):
    """A domain, or a request to it, that cannot work, and what to change."""
