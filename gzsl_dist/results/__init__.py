"""Reports: finished runs side by side, as a page, a Markdown text, a LaTeX table or a picture."""
