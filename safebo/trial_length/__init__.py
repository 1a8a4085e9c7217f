"""How long a trial should be, and for how long what it showed holds. numpy alone: robots read it too."""
