"""What crosses between an app and an Inngest server: names, bodies, signatures, requests."""
