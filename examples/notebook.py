# %% [markdown]
# # What is in this list?
#
# A notebook in the percent format: open it in Jupyter with jupytext, or in an editor that knows `# %%`.
# It verifies a list in the sandbox, which costs nothing, and plots its verdicts and domains.

# %%
import pandas as pd

from bulkverify import Client, verify_list
from bulkverify.sandbox import Sandbox

async with Sandbox(speed=100) as sandbox, Client(sandbox.api_key, base_url=sandbox.url) as client:
    report = await verify_list(client, "contacts.csv", "verified.csv", domains=True, overwrite=True)

verified = pd.read_csv("verified.csv")
verified.head()

# %% [markdown]
# ## Verdicts

# %%
verdicts = verified["verdict"].value_counts()
verdicts.plot.barh(title=f"{report.rows} rows, {report.credits_spent} credits")

# %% [markdown]
# ## The largest domains

# %%
domains = verified["e-mail address"].str.rpartition("@")[2].str.lower()
largest = domains.value_counts().head(8).index
pd.crosstab(domains, verified["verdict"]).loc[largest].plot.barh(stacked=True)
