"""What small modules of a model do, in a kernel each: used while a pass is captured."""
