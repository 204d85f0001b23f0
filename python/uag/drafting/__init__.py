"""What drafts: an assistant model, a custom drafter, texts that are looked up."""
