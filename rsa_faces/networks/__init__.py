"""Networks: what they are, opening them, finding landmarks with one of them.

Importing this loads no torch; opening a network does.
"""

from rsa_faces.networks._check import NetworkCheck, check
from rsa_faces.networks._load import get_spec, load_network
from rsa_faces.networks._network import Network
from rsa_faces.networks._registry import NETWORKS, list_networks
from rsa_faces.networks._spec import NetworkSpec, Preprocessing
from rsa_faces.networks.landmarks import detect_landmarks

__all__ = [
    "NETWORKS",
    "Network",
    "NetworkCheck",
    "NetworkSpec",
    "Preprocessing",
    "check",
    "detect_landmarks",
    "get_spec",
    "list_networks",
    "load_network",
]
