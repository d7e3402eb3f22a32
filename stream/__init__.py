"""The roles of tidecast: what consumes, predicts, decides and publishes."""

import models as models  # sees to where compiled kernels are kept, before one is defined here
