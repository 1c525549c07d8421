"""The instructor's side: judging answers in processes that know no answer."""
