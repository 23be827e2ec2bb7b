"""The C target: programs and whole fixed-point circuits as portable C99, integers alone, no allocation."""
