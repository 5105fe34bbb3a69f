"""The class that a file of a folder of models, data sets or distributions is there for."""

import importlib
import inspect


def public_class(module_name: str, method: str) -> type:
    """The public class that a module defines itself and that has a method; classes that the module only imports do not count.

    Args:
        module_name: dotted name of the module, which is imported.
        method: name of the method that tells the class from helper classes beside it, e.g. "fit" for a model.

    Raises:
        ModuleNotFoundError: where there is no such module.
        TypeError: where the module defines no such class.
    """
    module = importlib.import_module(module_name)
    for name, member in vars(module).items():
        if inspect.isclass(member) and member.__module__ == module_name and not name.startswith("_") and hasattr(member, method):
            return member
    raise TypeError(f"{module_name} defines no public class with the method `{method}`")
