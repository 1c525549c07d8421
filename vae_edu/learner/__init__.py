"""What `@exercise` and `check` do with a learner's notebook: read, save, prove, fill.

`statements` and `imports` read text; `cells` gathers what an answer is made of;
`workfile` puts that into a file's text and `shelf` into the file, proved by `sameness`;
`fill` goes the other way. `vae_edu.work` is what the rest of the package asks.
"""
