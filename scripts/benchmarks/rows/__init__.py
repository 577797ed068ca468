"""What is measured: each row gives one section of the page."""

from . import delta, files, link, load, trees

ROWS = {
    "large": files.large,
    "disk": files.disk,
    "tree": trees.tree,
    "long-link": link.long_link,
    "small-files": link.small_files,
    "changed": delta.changed,
    "changed-far": link.changed,
    "resume": delta.resume,
    "memory": load.memory,
    "clients": load.clients,
    "size": files.sizes,
    "count": trees.counts,
    "rtt-loss": link.rtt_and_loss,
}
NEED_LINK = {"long-link", "small-files", "changed-far", "rtt-loss"}
