# %% [markdown]
# # 01 · draft
# %% tags=["setup"]
import torch
from torch import Tensor, nn
from vae_edu import check, exercise
# %% tags=["exercise:squared_error"]
# %% tags=["check:squared_error"]
# %% tags=["exercise:pca_reconstruction"]
# %% tags=["check:pca_reconstruction"]
# %% tags=["exercise:subspace_cosines"]
# %% tags=["check:subspace_cosines"]
# %% tags=["exercise:Autoencoder"]
# %% tags=["check:Autoencoder"]
