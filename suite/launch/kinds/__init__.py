"""The launcher kinds, each a module with the class of its settings: see :class:`suite.launch.kind.Kind`."""
