# %% [markdown]
# # 06
# %%
import torch
from vae_edu import check, exercise, viz
# %% tags=["exercise:bernoulli_log_likelihood"]
# %% tags=["check:bernoulli_log_likelihood"]
# %% tags=["exercise:binarize"]
# %% tags=["check:binarize"]
# %% tags=["exercise:entropy_floor"]
# %% tags=["check:entropy_floor"]
# %% tags=["exercise:gaussian_log_likelihood"]
# %% tags=["check:gaussian_log_likelihood"]
# %% tags=["exercise:optimal_log_var"]
# %% tags=["check:optimal_log_var"]
# %% tags=["exercise:bits_per_dim"]
# %% tags=["check:bits_per_dim"]
# %% tags=["exercise:effective_beta"]
# %% tags=["check:effective_beta"]
