"""Where drafts come from: an assistant model, a custom drafter, or lookups in texts."""
