"""The Inngest engine: runs that an Inngest server drives, one operation per workflow step."""
