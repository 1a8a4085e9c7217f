"""Pages that are followed word for word: their blocks are run in their order, in a fresh folder (`make test-docs`).

What a block is stands in its own line of Markdown, where readers see it as its title:

    ```bash                                         run by `bash -e`; a non-zero exit fails the page
    ```bash title="Terminal 2"                      goes on until the page ends; the page waits for its word `ready`
    ```bash title="Not run here: why"               shown only
    ```python                                       run as a script
    ```python title="hop.py"                        written to that file, as is any language with a file's name
    ```text title="It prints"                       what the block before printed holds these lines, `...` for anything
"""
