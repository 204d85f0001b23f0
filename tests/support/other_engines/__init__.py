"""What the campaigns in other engines share: texts, what came of them, files that engines load."""
