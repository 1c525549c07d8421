# %% [markdown]
# # 04 · KL
# %%
import torch
from vae_edu import check, exercise, viz
# %% [markdown]
# {{card:expected_log_q}}
# %% tags=["exercise:expected_log_q"]
# %% tags=["check:expected_log_q"]
# %% tags=["exercise:expected_log_prior"]
# %% tags=["check:expected_log_prior"]
# %% tags=["exercise:gaussian_kl"]
# %% tags=["check:gaussian_kl"]
# %% tags=["exercise:gaussian_kl_between"]
# %% tags=["check:gaussian_kl_between"]
# %% tags=["exercise:monte_carlo_kl"]
# %% tags=["check:monte_carlo_kl"]
# %% tags=["exercise:gaussian_kl_gradients"]
# %% tags=["check:gaussian_kl_gradients"]
