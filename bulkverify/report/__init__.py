"""The report of a run, as a page for readers who did not write the list, and as JSON.

    RunReport -> facts -> page

`RunReport` loads the two modules by name, because they are above it, and because the page needs
`pip install "bulkverify[report]"`.
"""
