# %% [markdown]
# # 10
#
# {{card:paired_difference}}
# %% tags=["exercise:paired_difference"]
# %% tags=["check:paired_difference"]
